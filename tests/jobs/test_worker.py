import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from time import monotonic, sleep

import pytest
from sqlalchemy import event, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from alerts.platform import PlatformFault
from core.clock import utcnow
from core.durations import HOUR
from core.schema.rows import Kind
from core.settings import Settings
from db.queries.queue import runs
from db.queries.queue.runs import MAX_ATTEMPTS, Claim
from db.session import unit_of_work
from db.tables import Receipt, Run
from db.tables.queue import RunStatus
from jobs.wiring import jobs
from jobs.worker import Job, Queue, Worker
from services.platform_faults import failing_jobs, platform_alerts
from tests.streams import START, add_model


@pytest.fixture
def one_run(sessions: sessionmaker[Session]) -> None:
    with unit_of_work(sessions) as session:
        runs.ask(session, "work", START, START)


def state(sessions: sessionmaker[Session]) -> tuple[RunStatus, int, str | None]:
    with unit_of_work(sessions) as session:
        run = session.query(Run).one()
        return run.status, run.attempts, run.error


def worker(
    settings: Settings, sessions: sessionmaker[Session], job: Callable[[Claim], None]
) -> Worker:
    return Worker(settings, sessions, {"work": Job(Queue.BULK, job)})


@pytest.mark.usefixtures("one_run")
def test_a_run_that_is_due_is_done_once(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    done: list[Claim] = []
    busy = worker(settings, sessions, done.append)
    assert (busy.once(), busy.once()) == (True, False)
    assert [(claim.job, claim.slot) for claim in done] == [("work", START)]
    assert state(sessions) == (RunStatus.DONE, 1, None)


@pytest.mark.usefixtures("one_run")
def test_a_worker_leaves_a_job_that_it_does_not_know_to_others(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    assert not Worker(settings, sessions, {"fold": Job(Queue.FOLD, print)}).once()
    assert state(sessions) == (RunStatus.TODO, 0, None)


@pytest.mark.usefixtures("one_run")
def test_a_job_that_exits_as_a_plug_in_may_is_one_that_failed(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    def exits(_: Claim) -> None:
        raise SystemExit("client library gave up")

    assert worker(settings, sessions, exits).once()
    assert "SystemExit: client library gave up" in str(state(sessions)[2])


def hurry(sessions: sessionmaker[Session]) -> None:
    """Let the pause after a failure be over."""
    with unit_of_work(sessions) as session:
        session.execute(update(Run).values(not_before=START))


@pytest.mark.usefixtures("one_run")
def test_a_failing_job_is_tried_again_after_a_pause_and_given_up_at_last(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    def fail(_: Claim) -> None:
        raise ValueError("no such day")

    failing = worker(settings, sessions, fail)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert failing.once()
        status = RunStatus.DEAD if attempt == MAX_ATTEMPTS else RunStatus.TODO
        assert state(sessions) == (status, attempt, "ValueError: no such day")
        assert not failing.once()
        hurry(sessions)
    assert not failing.once()


def die(sessions: sessionmaker[Session], n_times: int) -> None:
    """Claim the run and never finish it."""
    for _ in range(n_times):
        with unit_of_work(sessions) as session:
            assert runs.claim(session, utcnow(), timedelta(0), ["work"]) is not None


@pytest.mark.usefixtures("one_run")
def test_a_run_over_which_processes_keep_dying_is_given_up(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    done: list[Claim] = []
    die(sessions, MAX_ATTEMPTS)
    assert worker(settings, sessions, done.append).once()
    assert done == []
    cause = f"WorkerDied: attempt {MAX_ATTEMPTS} ended with its process"
    assert state(sessions) == (RunStatus.DEAD, MAX_ATTEMPTS + 1, cause)


@pytest.mark.usefixtures("one_run")
def test_attempts_that_ended_in_an_outage_do_not_count(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    errors: list[Exception] = [OSError("disk full")] * MAX_ATTEMPTS
    errors += [KeyError("load")] * MAX_ATTEMPTS

    def fail(_: Claim) -> None:
        raise errors.pop(0)

    failing = worker(settings, sessions, fail)
    while errors:
        assert state(sessions)[0] is RunStatus.TODO
        assert failing.once()
        hurry(sessions)
    assert state(sessions)[0] is RunStatus.DEAD


def alerts(sessions: sessionmaker[Session]) -> list[tuple[PlatformFault, str, str]]:
    """Return the open alerts on the platform."""
    with unit_of_work(sessions) as session:
        rows = platform_alerts.open_alerts(session)
        return [(row.kind, row.subject, row.cause) for row in rows]


@pytest.mark.usefixtures("one_run")
def test_an_outage_is_tried_again_without_end_alerts_and_is_resolved_by_success(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    is_over = threading.Event()

    def fail(_: Claim) -> None:
        if not is_over.is_set():
            raise ExceptionGroup("two streams", [OSError("disk full"), OSError("disk full")])

    failing = worker(settings, sessions, fail)
    for attempt in range(1, 4 * MAX_ATTEMPTS):
        assert failing.once()
        assert state(sessions)[:2] == (RunStatus.TODO, attempt)
        assert len(alerts(sessions)) == int(attempt >= failing_jobs.ATTEMPTS)
        hurry(sessions)
    [(kind, subject, cause)] = alerts(sessions)
    assert (kind, subject) == (PlatformFault.JOB_FAILING, "work")
    assert "two streams" in cause
    is_over.set()
    assert failing.once()
    assert state(sessions)[0] is RunStatus.DONE
    assert alerts(sessions) == []


@pytest.mark.usefixtures("one_run")
def test_a_job_that_is_given_up_alerts(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    def fail(_: Claim) -> None:
        raise KeyError("load")

    failing = worker(settings, sessions, fail)
    for _ in range(MAX_ATTEMPTS):
        assert alerts(sessions) == []
        failing.once()
        hurry(sessions)
    assert alerts(sessions) == [
        (PlatformFault.JOB_FAILING, "work", "job work fails: KeyError: 'load'")
    ]


@pytest.mark.parametrize("hanging", Queue)
def test_a_job_that_hangs_delays_no_other_queue(
    settings: Settings, sessions: sessionmaker[Session], hanging: Queue
) -> None:
    done: set[str] = set()
    others_are_done, stop = threading.Event(), threading.Event()

    def do(claim: Claim) -> None:
        if claim.job == hanging:
            assert others_are_done.wait(60)
        done.add(claim.job)
        if {*Queue} - {hanging} <= done:
            others_are_done.set()

    with unit_of_work(sessions) as session:
        for queue in Queue:
            runs.ask(session, queue, START, START)
    wired = {str(queue): Job(queue, do) for queue in Queue}
    threads = [
        threading.Thread(target=Worker(settings, sessions, wired, queue).run, args=(stop, 0.02))
        for queue in Queue
    ]
    for thread in threads:
        thread.start()
    is_free = others_are_done.wait(30)
    others_are_done.set()
    stop.set()
    for thread in threads:
        thread.join()
    assert is_free, f"only {done} ran"


def test_every_queue_has_a_job(settings: Settings, sessions: sessionmaker[Session]) -> None:
    assert {job.queue for job in jobs(settings, sessions).values()} == {*Queue}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("one_run")
def test_a_worker_survives_a_database_that_is_away(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    """Away before the claim, during the heartbeats, and when the run is over."""
    short = settings.model_copy(update={"lease": timedelta(seconds=1)})
    engine = sessions.kw["bind"]
    is_away, stop = threading.Event(), threading.Event()
    is_away.set()

    def refuse(*_: object) -> None:
        if is_away.is_set():
            raise OperationalError("BEGIN", None, sqlite3.OperationalError("disk I/O error"))

    done: list[Claim] = []

    def do(claim: Claim) -> None:
        done.append(claim)
        if len(done) == 1:
            is_away.set()
            sleep(0.5)

    event.listen(engine, "before_cursor_execute", refuse)
    thread = threading.Thread(target=worker(short, sessions, do).run, args=(stop, 0.02))
    thread.start()
    sleep(0.3)
    is_away.clear()
    until = monotonic() + 30
    while not done and monotonic() < until:
        sleep(0.05)
    sleep(1.0)  # the run is over and cannot be written down
    assert thread.is_alive()
    is_away.clear()
    while state(sessions)[0] is not RunStatus.DONE and monotonic() < until:
        sleep(0.05)
    stop.set()
    thread.join()
    assert state(sessions)[0] is RunStatus.DONE


@pytest.mark.usefixtures("one_run")
def test_the_lease_of_a_long_job_is_kept_while_it_runs(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    short = settings.model_copy(update={"lease": timedelta(seconds=0.6)})
    began, stolen = threading.Event(), threading.Event()

    def last(_: Claim) -> None:
        began.set()
        sleep(2.0)  # three leases

    slow = threading.Thread(target=worker(short, sessions, last).once)
    slow.start()
    assert began.wait(30)
    other = worker(short, sessions, lambda _: stolen.set())
    while slow.is_alive():
        other.once()
        sleep(0.1)
    assert not stolen.is_set()
    assert state(sessions) == (RunStatus.DONE, 1, None)


@pytest.mark.usefixtures("one_run")
def test_workers_at_once_do_a_run_once(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    done: list[Claim] = []
    stop = threading.Event()
    crew = [worker(settings, sessions, done.append) for _ in range(3)]
    threads = [threading.Thread(target=one.run, args=(stop, 0.02)) for one in crew]
    for thread in threads:
        thread.start()
    sleep(1.0)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(done) == 1


def test_receipts_are_as_old_as_the_worker_has_run_whatever_the_clock_shows(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    three = settings.model_copy(update={"keep_receipts": timedelta(hours=2)})
    worker = Worker(settings, sessions, jobs(three, sessions))
    model_id = add_model(sessions)
    with unit_of_work(sessions) as session:
        at = {"model_id": model_id, "kind": Kind.LABELS, "received_at": START}
        session.add(Receipt(**at, batch_id="b", digest=b"", n_accepted=1, n_quarantined=0))

    def n_left_after_a_purge(slot: int) -> int:
        with unit_of_work(sessions) as session:
            runs.ask(session, "purge", START + slot * HOUR, START)
        assert worker.once()
        with unit_of_work(sessions) as session:
            return len(session.query(Receipt).all())

    # Years have passed since, by the wall clock; the worker has run for two hours.
    assert [n_left_after_a_purge(slot) for slot in range(4)] == [1, 1, 1, 0]


def test_every_job_that_is_ticked_is_wired_and_idles_in_peace(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    wired = jobs(settings, sessions)
    quiet = {"fold", "archive", "publish", "deliver", "purge"}
    assert quiet | {"evaluate"} <= set(wired)
    idle = Worker(settings, sessions, wired)
    with unit_of_work(sessions) as session:
        for job in sorted(quiet):
            runs.ask(session, job, START, START)
    for _ in quiet:
        assert idle.once()
    with unit_of_work(sessions) as session:
        left = {(run.job, run.status, run.error) for run in session.query(Run)}
    # What this test asked for is itself old enough to be forgotten by `purge`.
    assert {(status, error) for _, status, error in left} <= {(RunStatus.DONE, None)}
