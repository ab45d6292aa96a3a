from datetime import UTC, datetime, timedelta

import pytest

from alerts.state import AlertRule, AlertState, Change, Flip, Phase, Reason, retire, step
from monitors.finding import Outcome

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OK, BREACH, NO_DATA, ERROR = Outcome.OK, Outcome.BREACH, Outcome.NO_DATA, Outcome.ERROR
FIRED = Change(flip=Flip.FIRED, reason=Reason.BREACHED)
RESOLVED = Change(flip=Flip.RESOLVED, reason=Reason.RECOVERED)


def run(outcomes: list[Outcome], rule: AlertRule) -> tuple[AlertState, list[Change]]:
    state, seen = AlertState(), []
    for day, outcome in enumerate(outcomes):
        state, change = step(rule, state, outcome, NOW + timedelta(days=day))
        if change is not None:
            seen.append(change)
    return state, seen


@pytest.mark.parametrize(
    ("outcomes", "changes"),
    [
        pytest.param([], [], id="nothing happened"),
        pytest.param([BREACH], [], id="one breach is not yet an alert"),
        pytest.param([BREACH, BREACH], [FIRED], id="two in a row fire"),
        pytest.param([BREACH, OK, BREACH], [], id="an ok starts the count again"),
        pytest.param([BREACH] * 5, [FIRED], id="a firing alert fires once"),
        pytest.param([BREACH] * 2 + [OK], [FIRED], id="one ok does not resolve"),
        pytest.param([BREACH] * 2 + [OK] * 2, [FIRED, RESOLVED], id="two oks resolve"),
        pytest.param(
            [BREACH] * 2 + [OK, BREACH, OK], [FIRED], id="a breach starts the oks again"
        ),
        pytest.param([BREACH] * 2 + [NO_DATA] * 9, [FIRED], id="silence never resolves"),
        pytest.param([BREACH] * 2 + [ERROR] * 9, [FIRED], id="an error never resolves"),
        pytest.param([BREACH, NO_DATA, BREACH], [FIRED], id="silence does not reset"),
        pytest.param([BREACH, ERROR, BREACH], [FIRED], id="an error does not reset"),
        pytest.param(
            [BREACH] * 2 + [OK, NO_DATA, OK], [FIRED, RESOLVED], id="nor the way back"
        ),
        pytest.param([NO_DATA] * 9, [], id="silence alone never fires"),
        pytest.param(
            ([BREACH] * 2 + [OK] * 2) * 2, [FIRED, RESOLVED] * 2, id="it may fire again"
        ),
    ],
)
def test_changes(outcomes: list[Outcome], changes: list[Change]) -> None:
    assert run(outcomes, AlertRule())[1] == changes


def test_an_impatient_rule_fires_and_resolves_at_once() -> None:
    rule = AlertRule(breaches_to_fire=1, oks_to_resolve=1)
    assert run([BREACH, OK], rule)[1] == [FIRED, RESOLVED]


def test_an_alert_is_dated_by_its_first_breach() -> None:
    state, _ = run([OK, BREACH, NO_DATA, BREACH, BREACH, OK], AlertRule())
    assert (state.phase, state.since) == (Phase.FIRING, NOW + timedelta(days=1))


@pytest.mark.parametrize(
    ("outcomes", "change"),
    [
        pytest.param([BREACH] * 2, Reason.VERSION_RETIRED, id="a firing alert is closed"),
        pytest.param([BREACH], None, id="a pending one is forgotten"),
        pytest.param([OK], None, id="a quiet one stays so"),
    ],
)
def test_a_retired_version_closes_its_alert(
    outcomes: list[Outcome], change: Reason | None
) -> None:
    state, closed = retire(run(outcomes, AlertRule())[0])
    assert state == AlertState()
    assert (closed and closed.reason) == change
