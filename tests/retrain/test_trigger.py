from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.durations import DAY
from core.policy import Policy
from retrain.trigger import Decision, Refuse, Request, Situation, decide

NOW = datetime(2026, 3, 1, tzinfo=UTC)
POLICY = Policy(new_labels=14 * DAY, label_delay=DAY, cool_down=7 * DAY)
CALM = Situation(
    at=NOW,
    open_rollout=None,
    last_finished=None,
    input_fault=None,
    onset=None,
    is_automatic=True,
)


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(CALM, Request(not_before=NOW), id="nothing is in the way"),
        pytest.param(
            replace(CALM, onset=NOW - 2 * DAY),
            Request(not_before=NOW + 13 * DAY),
            id="a fresh change needs labels first",
        ),
        pytest.param(
            replace(CALM, onset=NOW - 40 * DAY),
            Request(not_before=NOW),
            id="an old change has them",
        ),
        pytest.param(
            replace(CALM, open_rollout="canary"),
            Refuse(reason="a rollout is under way (canary)"),
            id="one rollout at a time",
        ),
        pytest.param(
            replace(CALM, input_fault="HULL scaled by 1.80"),
            Refuse(reason="the input is broken: HULL scaled by 1.80"),
            id="a broken input is never learned",
        ),
        pytest.param(
            replace(CALM, input_fault="HULL stuck", is_automatic=False),
            Refuse(reason="the input is broken: HULL stuck"),
            id="not even when a person asks",
        ),
        pytest.param(
            replace(CALM, last_finished=NOW - 6 * DAY),
            Refuse(reason="cooling down until 2026-03-02T00:00Z"),
            id="an alert waits for the cool-down",
        ),
        pytest.param(
            replace(CALM, last_finished=NOW - 7 * DAY),
            Request(not_before=NOW),
            id="and no longer",
        ),
        pytest.param(
            replace(CALM, last_finished=NOW - DAY, is_automatic=False),
            Request(not_before=NOW),
            id="a person need not wait",
        ),
    ],
)
def test_decide(situation: Situation, expected: Decision) -> None:
    assert decide(POLICY, situation) == expected


def test_an_owner_may_keep_the_decision_for_people() -> None:
    policy = replace(POLICY, retrain_on_accuracy=False)
    assert decide(policy, CALM) == Refuse(reason="the policy leaves retraining to people")
    assert decide(policy, replace(CALM, is_automatic=False)) == Request(not_before=NOW)
