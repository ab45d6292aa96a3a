import json
from dataclasses import replace

import pytest
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Flip, Phase, Reason
from core.durations import DAY
from db.queries.read import false_alarm_rates
from db.session import read_only, unit_of_work
from db.tables import Alert, Delivery, FlipRow, Incident, Model, Monitor
from db.tables import Finding as FindingRow
from monitors.finding import Outcome
from monitors.input_fault.input_fault import InputFaultDetail
from services.alerting import alarm_counts, alert_transitions, inhibition
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from tests.services.loop import FAULT, Loop
from tests.streams import START

KINDS = ("accuracy", "input_drift", "mean_shift", "temporal_pattern", "input_fault")


@pytest.fixture
def loop(sessions: sessionmaker[Session]) -> Loop:
    loop = Loop(sessions, kinds=KINDS)
    loop.listen("page", "ticket")
    return loop


def flips(loop: Loop) -> list[tuple[Flip, bool]]:
    rows = sorted(loop.all(FlipRow), key=lambda row: row.recorded_at)
    return [(row.flip, row.inhibited) for row in rows]


def test_silence_and_failures_never_resolve_an_alert(loop: Loop) -> None:
    outcomes = [Outcome.BREACH] * 2 + [Outcome.NO_DATA] * 4 + [Outcome.ERROR] * 4
    for day, outcome in enumerate(outcomes, start=1):
        loop.observe("accuracy", outcome, START + day * DAY)
    [alert] = loop.all(Alert)
    assert (alert.phase, alert.cause) == (Phase.FIRING, "accuracy is wrong")
    assert len(loop.all(FindingRow)) == len(outcomes)
    assert flips(loop) == [(Flip.FIRED, False)]


def test_an_alert_that_resolves_notifies_those_who_were_notified_of_its_firing(
    loop: Loop,
) -> None:
    outcomes = [Outcome.BREACH] * 2 + [Outcome.OK] * 2
    for day, outcome in enumerate(outcomes, start=1):
        loop.observe("accuracy", outcome, START + day * DAY)
    assert flips(loop) == [(Flip.FIRED, False), (Flip.RESOLVED, False)]
    deliveries = sorted(loop.all(Delivery), key=lambda row: row.seq)
    assert [row.type.rpartition(".")[2] for row in deliveries] == ["firing", "resolved"]
    assert {row.flip_id for row in deliveries} == {flip.id for flip in loop.all(FlipRow)}


def test_an_alert_is_notified_although_the_clock_was_set_back(loop: Loop) -> None:
    """The alert that had fired by the later clock was taken for the last one."""
    breach, ok = [Outcome.BREACH] * 2, [Outcome.OK] * 2
    for day, outcome in enumerate(breach + ok, start=1):
        loop.observe("accuracy", outcome, START + day * DAY, now=START + (40 + day) * DAY)
    for day, outcome in enumerate(breach + ok, start=5):
        loop.observe("accuracy", outcome, START + day * DAY)
    deliveries = sorted(loop.all(Delivery), key=lambda row: row.seq)
    assert [row.type.rpartition(".")[2] for row in deliveries] == ["firing", "resolved"] * 2
    assert {row.flip_id for row in deliveries} == {flip.id for flip in loop.all(FlipRow)}


def test_a_flip_and_its_message_are_kept_together_or_not_at_all(loop: Loop) -> None:
    def crash() -> None:
        with unit_of_work(loop.sessions) as session:
            loop.observe_in(session, "accuracy", Outcome.BREACH, START + 2 * DAY)
            assert (session.query(FlipRow).count(), session.query(Incident).count()) == (1, 1)
            raise RuntimeError

    loop.observe("accuracy", Outcome.BREACH, START + DAY)
    with pytest.raises(RuntimeError):
        crash()
    assert loop.all(FlipRow) == []
    assert loop.all(Incident) == []
    [alert] = loop.all(Alert)
    assert (alert.phase, alert.streak) == (Phase.PENDING, 1)


@pytest.mark.parametrize("name", ["accuracy", "input_drift"])
def test_a_broken_input_inhibits_what_follows_from_it(loop: Loop, name: str) -> None:
    for day in (1, 2):
        loop.break_input(START + day * DAY)
        loop.observe(name, Outcome.BREACH, START + day * DAY)
    monitors = {row.id: row.name for row in loop.all(Monitor)}
    alerts = {row.id: monitors[row.monitor_id] for row in loop.all(Alert)}
    inhibited = {alerts[row.alert_id]: row.inhibited for row in loop.all(FlipRow)}
    assert inhibited == {"input_fault": False, name: True}
    assert len(loop.all(Delivery)) == 1
    for day in range(3, 10):
        loop.observe(name, Outcome.OK, START + day * DAY)
    resolved = [row for row in loop.all(FlipRow) if row.flip is Flip.RESOLVED]
    assert [row.inhibited for row in resolved] == [True]
    assert len(loop.all(Delivery)) == 1


def test_serving_that_fails_is_notified_although_the_input_is_broken(
    sessions: sessionmaker[Session],
) -> None:
    loop = Loop(sessions, kinds=("input_fault", "burn_rate"))
    loop.break_input(START + DAY)
    loop.observe("burn_rate", Outcome.BREACH, START + DAY)
    # Two pages; the ticket of the SLO is inhibited by its page.
    assert [row.inhibited for row in loop.all(FlipRow)] == [False, False, True]


def wrong_with(loop: Loop) -> str | None:
    with read_only(loop.sessions) as session:
        return inhibition.of_model(session, loop.model_id)


def test_a_failed_evaluation_forgets_no_fault(loop: Loop) -> None:
    loop.break_input(START + DAY)
    loop.observe("input_fault", Outcome.ERROR, START + 2 * DAY)
    assert wrong_with(loop) == str(FAULT)


def test_a_fault_explains_what_is_seen_until_its_days_have_left_the_windows(
    loop: Loop,
) -> None:
    loop.break_input(START + DAY)
    repaired = replace(FAULT, until=START + 2 * DAY)
    detail = InputFaultDetail(faults=(repaired,))
    loop.observe("input_fault", Outcome.OK, START + 3 * DAY, detail)
    assert wrong_with(loop) == f"{FAULT} until 2026-01-07T00:00Z"
    loop.observe("input_fault", Outcome.OK, START + 14 * DAY)
    assert wrong_with(loop) is None


def test_a_monitor_that_was_switched_off_holds_nothing_up(loop: Loop) -> None:
    loop.break_input(START + DAY)
    with unit_of_work(loop.sessions) as session:
        plan = MonitorPlan(name="input_fault", kind="input_fault", enabled=False)
        monitor_config.put(session, loop.model_id, plan)
    assert wrong_with(loop) is None


def test_a_promotion_retires_what_was_measured_against_the_old_reference_only(
    loop: Loop,
) -> None:
    for day in (1, 2):
        loop.observe("accuracy", Outcome.BREACH, START + day * DAY)
        loop.observe("input_drift", Outcome.BREACH, START + day * DAY)
        loop.observe("mean_shift", Outcome.BREACH, START + day * DAY)
        loop.observe("temporal_pattern", Outcome.BREACH, START + day * DAY)
    with unit_of_work(loop.sessions) as session:
        model = session.get_one(Model, loop.model_id)
        alert_transitions.retire_reference(session, model, "v2 promoted", START + 3 * DAY)
    loop.dispatch(START + 4 * DAY)
    monitors = {row.id: row.name for row in loop.all(Monitor)}
    phases = {monitors[row.monitor_id]: row.phase for row in loop.all(Alert)}
    quiet = Phase.QUIET
    assert phases == {
        "accuracy": Phase.FIRING,
        "input_drift": quiet,
        "mean_shift": quiet,
        "temporal_pattern": quiet,
    }
    retired = [row for row in loop.all(FlipRow) if row.flip is Flip.RESOLVED]
    why = (Reason.VERSION_RETIRED, "v2 promoted")
    assert [(row.reason, row.cause) for row in retired] == [why, why, why]
    assert [row.type for row in loop.all(Delivery)].count("alert.resolved") == 3


def test_a_message_holds_what_was_found(loop: Loop) -> None:
    loop.observe("input_drift", Outcome.BREACH, START + DAY)
    [message] = loop.all(Delivery)
    content = json.loads(message.body)["data"]
    assert (content["model"], content["version"], content["cause"]) == (
        "grid",
        "v1",
        "input_drift is wrong",
    )
    assert (content["value"], content["threshold"]) == (1.0, 0.5)
    [finding] = loop.all(FindingRow)
    assert content["finding_url"] == f"/findings/{finding.id}"


def test_alarms_and_days_are_counted_the_same_from_what_is_kept(loop: Loop) -> None:
    def counts() -> list[tuple[int, int]]:
        with read_only(loop.sessions) as session:
            return [*false_alarm_rates.live(session, session.query(Alert)).values()]

    def find(first: int, outcomes: list[Outcome]) -> None:
        for day, outcome in enumerate(outcomes, start=first):
            loop.observe("accuracy", outcome, START + day * DAY)

    find(1, [Outcome.BREACH] * 2 + [Outcome.OK] * 2 + [Outcome.NO_DATA])
    assert counts() == [(1, 4)]
    alarm_counts.keep_all(loop.sessions)
    [alert] = loop.all(Alert)
    assert (alert.n_alarms, alert.n_evaluated) == (1, 4)
    assert alert.counted_until == START + 5 * DAY
    assert counts() == [(1, 4)]
    find(6, [Outcome.BREACH] * 2)
    assert counts() == [(2, 6)]
    with unit_of_work(loop.sessions) as session:
        session.get_one(Model, loop.model_id).history_until = START + 4 * DAY
        session.flush()
        false_alarm_rates.keep(session, [loop.model_id])
    assert counts() == [(1, 2)]
