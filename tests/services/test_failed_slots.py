"""A slot that fails by its own error: stored, alerted on, passed by, and evaluated again."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import delete, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from alerts.platform import PlatformFault
from core.durations import DAY
from core.errors import Conflict, NotFound
from core.settings import Settings
from db.queries.log import recompute_marks
from db.queries.queue import runs
from db.session import read_only, unit_of_work
from db.tables import Delivery, Model, PlatformAlert, Run
from db.tables import Finding as FindingRow
from db.tables.queue import RunStatus
from jobs.ticker import Ticker, closed_days
from jobs.wiring import jobs
from jobs.worker import Worker
from monitors.finding import Outcome
from monitors.input_fault.input_fault import InputFaultDetail
from monitors.performance import accuracy
from services.evaluation import evaluation_context, failed_slots
from services.evaluation.baseline_cache import Baselines
from services.evaluation.reevaluate import evaluate_again, reevaluate
from services.evaluation.slots import evaluate_until
from tests.services.loop import FAULT, Loop
from tests.streams import START

KINDS = ("accuracy", "data_quality", "input_fault")


@pytest.fixture
def loop(sessions: sessionmaker[Session]) -> Loop:
    loop = Loop(sessions, kinds=KINDS)
    loop.serve(12, error=0.9)
    loop.reach(START + 14 * DAY)
    loop.listen("page")
    return loop


def day(number: int) -> datetime:
    return START + number * DAY


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Let something raise on some days."""

    def let(module: Any, name: str, days: tuple[int, ...], error: Exception) -> None:
        right = getattr(module, name)

        def wrong(*given: Any) -> Any:
            about = [one for one in given if isinstance(one, datetime)] or [given[0].days[-1]]
            if about[0] in [day(n) for n in days] or about[0] in [label_day(n) for n in days]:
                raise error
            return right(*given)

        monkeypatch.setattr(module, name, wrong)

    yield let
    monkeypatch.undo()


def label_day(number: int) -> Any:
    """Return the last day whose labels are due at the end of a day: `accuracy` sees it last."""
    return day(number - 3).date()


def evaluate(loop: Loop, until: int) -> int:
    baselines = Baselines()
    return evaluate_until(loop.sessions, baselines, loop.model_id, day(until), day(14))


def outcomes(loop: Loop) -> dict[datetime, set[Outcome]]:
    found: dict[datetime, set[Outcome]] = {}
    for row in loop.all(FindingRow):
        found.setdefault(row.as_of, set()).add(row.outcome)
    return found


def open_alerts(loop: Loop) -> list[PlatformAlert]:
    return [row for row in loop.all(PlatformAlert) if row.resolved_at is None]


def test_a_monitor_that_fails_spoils_no_other_and_alerts(
    loop: Loop, broken: Callable[..., None]
) -> None:
    broken(accuracy, "evaluate", (5,), ZeroDivisionError("float division by zero"))
    assert evaluate(loop, 9) == 9
    errors = [row for row in loop.all(FindingRow) if row.outcome is Outcome.ERROR]
    assert [(row.as_of, row.cause) for row in errors] == [
        (day(5), "ZeroDivisionError: float division by zero")
    ]
    assert len(loop.all(FindingRow)) == 9 * len(KINDS)
    [alert] = open_alerts(loop)
    assert (alert.kind, alert.subject) == (PlatformFault.EVALUATION_FAILED, "grid")
    assert "2026-01-10" in alert.cause
    assert "accuracy: ZeroDivisionError" in alert.cause


def test_a_slot_that_fails_as_a_whole_is_stored_and_holds_no_later_one_back(
    loop: Loop, broken: Callable[..., None]
) -> None:
    broken(evaluation_context, "load", (4,), KeyError("load"))
    assert evaluate(loop, 6) == 6
    assert loop.model().evaluated_until == day(6)
    assert sorted(outcomes(loop)) == [day(n) for n in range(1, 7)]
    failed = [row for row in loop.all(FindingRow) if row.as_of == day(4)]
    assert len(failed) == len(KINDS)
    assert {(row.outcome, row.cause, row.version) for row in failed} == {
        (Outcome.ERROR, "KeyError: 'load'", "v1")
    }
    assert [alert.subject for alert in open_alerts(loop)] == ["grid"]


def test_an_outage_stores_nothing_and_is_raised(
    loop: Loop, broken: Callable[..., None]
) -> None:
    broken(accuracy, "evaluate", (5,), OSError("no space left on device"))
    with pytest.raises(OSError, match="no space"):
        evaluate(loop, 6)
    assert loop.model().evaluated_until == day(4)
    assert Outcome.ERROR not in set().union(*outcomes(loop).values())
    assert open_alerts(loop) == []


def test_a_failed_slot_is_evaluated_again_as_of_its_own_time(
    loop: Loop, broken: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = Loop(loop.sessions, name="twin", kinds=KINDS)
    twin.serve(12, error=0.9)
    twin.reach(START + 14 * DAY)
    evaluate(twin, 9)
    broken(evaluation_context, "load", (4, 5), KeyError("load"))
    evaluate(loop, 9)
    monkeypatch.undo()
    with unit_of_work(loop.sessions) as session:
        assert failed_slots.ask_again(session, "grid", None, day(14)) == [day(4), day(5)]
    for number in (4, 5):
        assert open_alerts(loop)
        baselines = Baselines()
        at = day(number)
        assert evaluate_again(loop.sessions, baselines, loop.model_id, at, day(14)) == 3
    assert open_alerts(loop) == []
    found = {
        (row.as_of, row.outcome, row.value, row.cause)
        for row in loop.all(FindingRow, model_id=loop.model_id)
    }
    assert found == {
        (row.as_of, row.outcome, row.value, row.cause)
        for row in loop.all(FindingRow, model_id=twin.model_id)
    }
    revised = [row for row in loop.all(FindingRow) if row.rev]
    assert {(row.as_of, row.first["outcome"]) for row in revised if row.first} == {
        (day(4), "error"),
        (day(5), "error"),
    }
    types = [row.type for row in loop.all(Delivery)]
    assert types.count("platform.firing") == types.count("platform.resolved") == 1


def test_what_reads_the_faults_of_a_failed_slot_is_evaluated_again(
    loop: Loop, broken: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(loop, 3)
    with unit_of_work(loop.sessions) as session:  # as if a fault were followed since
        for row in session.query(FindingRow).filter_by(as_of=day(3)):
            row.detail = InputFaultDetail(faults=(FAULT,)).to_json()
    broken(evaluation_context, "load", (4,), KeyError("load"))
    evaluate(loop, 5)
    monkeypatch.undo()
    baselines = Baselines()
    evaluate_again(loop.sessions, baselines, loop.model_id, day(4), day(14))
    with read_only(loop.sessions) as session:
        assert [mark.day for mark in recompute_marks.marks(session, loop.model_id)] == [
            day(4).date()
        ]
    assert reevaluate(loop.sessions, baselines, loop.model_id, day(14)).is_whole


def test_only_slots_that_were_evaluated_are_evaluated_again(loop: Loop) -> None:
    evaluate(loop, 3)
    with unit_of_work(loop.sessions) as session:
        with pytest.raises(NotFound):
            failed_slots.ask_again(session, "nobody", None, day(14))
        with pytest.raises(Conflict, match="was not evaluated yet"):
            failed_slots.ask_again(session, "grid", day(4), day(14))
        with pytest.raises(Conflict, match="not the end of an event day"):
            failed_slots.ask_again(session, "grid", day(3) - DAY / 2, day(14))
        assert failed_slots.ask_again(session, "grid", day(3), day(14)) == [day(3)]
        assert failed_slots.ask_again(session, "grid", None, day(14)) == []


def work_off(loop: Loop, settings: Settings) -> None:
    worker = Worker(settings, loop.sessions, jobs(settings, loop.sessions))
    while worker.once():
        pass


def test_a_day_that_was_given_up_before_is_evaluated_all_the_same(
    loop: Loop, settings: Settings
) -> None:
    """The issue: a run died, later days were evaluated past it, and the hole stayed."""
    evaluate(loop, 6)
    with unit_of_work(loop.sessions) as session:
        session.execute(delete(FindingRow).where(FindingRow.as_of == day(2)))
        for number in (2, 7):  # one was passed by, at the other nobody has come by yet
            runs.ask(session, "evaluate", day(number), day(13), str(loop.model_id))
        for run in session.query(Run):
            run.status, run.finished_at, run.attempts = RunStatus.DEAD, day(13), 5
    ticker = Ticker(settings, loop.sessions)
    for _ in range(2):
        ticker.ask(closed_days)
        work_off(loop, settings)
    assert sorted(outcomes(loop)) == [day(n) for n in range(1, 14)]
    assert not any(Outcome.ERROR in found for found in outcomes(loop).values())
    assert loop.model().evaluated_until == day(13)
    ticker.ask(closed_days)
    assert not [
        run for run in loop.all(Run) if run.finished_at is None and run.job != "reevaluate"
    ]


def test_a_run_evaluates_all_closed_slots_in_order(loop: Loop, settings: Settings) -> None:
    with unit_of_work(loop.sessions) as session:
        runs.ask(session, "evaluate", day(5), day(14), str(loop.model_id))
    work_off(loop, settings)
    slots = [day(n) for n in range(1, 14)]
    assert sorted(outcomes(loop)) == slots
    found = loop.all(FindingRow)
    assert {len([r for r in found if r.as_of == slot]) for slot in slots} == {len(KINDS)}


def test_a_database_that_fails_meanwhile_makes_no_finding(loop: Loop) -> None:
    """An outage while a monitor reads was once stored as what it found."""
    engine = loop.sessions.kw["bind"]

    def refuse(*given: Any) -> None:
        if "from summary" in given[2].lower() and "errors" in str(given[3]):
            raise OperationalError(given[2], None, ConnectionResetError("gone"), True)

    event.listen(engine, "before_cursor_execute", refuse)
    try:
        with pytest.raises(OperationalError):
            evaluate(loop, 5)
    finally:
        event.remove(engine, "before_cursor_execute", refuse)
    assert loop.all(FindingRow) == []
    assert evaluate(loop, 5) == 5
    assert isinstance(loop.model(), Model)
