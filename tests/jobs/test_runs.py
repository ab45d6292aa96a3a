from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from db.queries.queue import runs
from db.queries.queue.runs import Claim
from db.session import unit_of_work
from db.tables import Run
from db.tables.queue import RunStatus

LEASE = timedelta(seconds=30)
JOBS = ("fold", "evaluate")
SECOND = timedelta(seconds=1)


def ask(
    sessions: sessionmaker[Session], slot: datetime, job: str = "fold", subject: str = ""
) -> None:
    with unit_of_work(sessions) as session:
        runs.ask(session, job, slot, slot, subject)


def claim(sessions: sessionmaker[Session], now: datetime) -> Claim | None:
    with unit_of_work(sessions) as session:
        return runs.claim(session, now, LEASE, JOBS)


def test_a_slot_that_is_asked_for_twice_runs_once(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    ask(sessions, now)
    ask(sessions, now)
    assert claim(sessions, now) is not None
    assert claim(sessions, now) is None


def test_slots_of_one_job_run_in_order_and_one_at_a_time(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    later = now + SECOND
    ask(sessions, later, "evaluate", "a")
    ask(sessions, now, "evaluate", "a")
    first = claim(sessions, later)
    assert first is not None
    assert first.slot == now
    assert claim(sessions, later) is None
    with unit_of_work(sessions) as session:
        assert runs.finish(session, first, later)
    second = claim(sessions, later)
    assert second is not None
    assert second.slot == later


def test_other_subjects_do_not_wait(sessions: sessionmaker[Session], now: datetime) -> None:
    ask(sessions, now, "evaluate", "a")
    ask(sessions, now, "evaluate", "b")
    assert {c.subject for c in (claim(sessions, now), claim(sessions, now)) if c} == {"a", "b"}


def test_a_dead_workers_run_is_taken_over_and_its_late_answer_is_void(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    ask(sessions, now)
    dead = claim(sessions, now)
    heir = claim(sessions, now + LEASE)
    assert dead is not None
    assert heir is not None
    with unit_of_work(sessions) as session:
        assert not runs.finish(session, dead, now + LEASE)
        assert not runs.extend(session, dead, now + 2 * LEASE)
        assert runs.finish(session, heir, now + LEASE)


def test_a_failing_run_is_tried_again_later_and_given_up_at_last(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    ask(sessions, now)
    at = now
    for _ in range(runs.MAX_ATTEMPTS):
        taken = claim(sessions, at)
        assert taken is not None
        with unit_of_work(sessions) as session:
            runs.give_back(session, taken, "OSError: disk full", at)
        assert claim(sessions, at) is None
        at += timedelta(hours=1)
    assert claim(sessions, at) is None
    with unit_of_work(sessions) as session:
        run = session.query(Run).one()
        assert (run.status, run.error) == (RunStatus.DEAD, "OSError: disk full")


def test_an_outage_never_gives_a_run_up(sessions: sessionmaker[Session], now: datetime) -> None:
    ask(sessions, now)
    at = now
    for _ in range(4 * runs.MAX_ATTEMPTS):
        taken = claim(sessions, at)
        assert taken is not None
        with unit_of_work(sessions) as session:
            status = runs.give_back(session, taken, "the lake is away", at, is_outage=True)
        assert status is RunStatus.TODO
        at += timedelta(seconds=73)  # a minute and its jitter


def test_a_run_that_waits_and_a_lease_are_due_when_the_clock_is_set_back(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    ask(sessions, now)
    ask(sessions, now, "evaluate", "a")
    leased, failed = claim(sessions, now), claim(sessions, now)
    assert leased is not None
    assert failed is not None
    with unit_of_work(sessions) as session:
        runs.give_back(session, failed, "KeyError", now)
    assert claim(sessions, now) is None
    back = now - HOUR
    assert {one.job for one in (claim(sessions, back), claim(sessions, back)) if one} == {
        "fold",
        "evaluate",
    }
    assert claim(sessions, back) is None


def test_a_clock_that_differs_by_seconds_steals_no_lease(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    ask(sessions, now)
    assert claim(sessions, now) is not None
    assert claim(sessions, now - 20 * SECOND) is None


def test_a_slot_that_was_done_before_the_clock_was_set_back_is_run_again(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    ask(sessions, now - HOUR)
    with unit_of_work(sessions) as session:
        taken = runs.claim(session, now, LEASE, JOBS)
        assert taken is not None
        runs.finish(session, taken, now)
    with unit_of_work(sessions) as session:
        runs.ask(session, "fold", now - HOUR, now)
        assert not runs.is_open(session, "fold")
        runs.ask(session, "fold", now - HOUR, now - HOUR + SECOND)
        assert runs.is_open(session, "fold")
    assert claim(sessions, now - HOUR + SECOND) is not None


def test_what_was_asked_for_before_the_clock_was_set_back_goes_first(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    ask(sessions, now, "evaluate", "a")
    ask(sessions, now - HOUR, "evaluate", "b")
    taken = claim(sessions, now - HOUR)
    assert taken is not None
    assert taken.subject == "a"


def test_a_run_that_was_given_up_is_begun_anew_when_it_is_asked_for(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    slot = now
    ask(sessions, slot, "evaluate", "a")
    for _ in range(runs.MAX_ATTEMPTS):
        now += HOUR
        taken = claim(sessions, now)
        assert taken is not None
        with unit_of_work(sessions) as session:
            runs.give_back(session, taken, "KeyError", now)
    assert claim(sessions, now + HOUR) is None
    with unit_of_work(sessions) as session:
        runs.ask(session, "evaluate", slot, now, "a")
    again = claim(sessions, now)
    assert again is not None
    assert (again.slot, again.attempts) == (slot, 1)


def test_an_open_run_is_seen_and_old_ones_are_forgotten(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    ask(sessions, now)
    with unit_of_work(sessions) as session:
        assert runs.is_open(session, "fold")
        assert runs.waits(session, now, LEASE, JOBS)
    taken = claim(sessions, now)
    assert taken is not None
    with unit_of_work(sessions) as session:
        runs.finish(session, taken, now)
    with unit_of_work(sessions) as session:
        assert not runs.is_open(session, "fold")
        assert runs.purge(session, now, now) == 0
        assert runs.purge(session, now + SECOND, now) == 1


def test_runs_without_a_subject_that_succeeded_are_forgotten_first(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    for subject in ("", "model"):
        with unit_of_work(sessions) as session:
            runs.ask(session, "fold", now, now, subject)
        taken = claim(sessions, now)
        assert taken is not None
        with unit_of_work(sessions) as session:
            runs.finish(session, taken, now)
    with unit_of_work(sessions) as session:
        assert runs.purge(session, now, now + SECOND) == 1
        assert session.scalars(select(Run.subject)).all() == ["model"]
