import threading
from collections.abc import Callable
from datetime import timedelta
from time import sleep

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from core.settings import Settings
from db.queries import runs
from db.queries.runs import MAX_ATTEMPTS, Claim
from db.session import unit_of_work
from db.tables import Run
from db.tables.queue import RunStatus
from jobs.wiring import jobs
from jobs.worker import Worker
from tests.streams import START


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
    return Worker(settings, sessions, {"work": job})


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
def test_a_job_that_nobody_knows_is_given_up_with_the_known_ones_named(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    stranger = Worker(settings, sessions, {"fold": print, "archive": print})
    for _ in range(MAX_ATTEMPTS):
        assert stranger.once()
        hurry(sessions)
    status, _, error = state(sessions)
    assert (status, error) == (RunStatus.DEAD, "no job 'work'; known: archive, fold")


def hurry(sessions: sessionmaker[Session]) -> None:
    """Let the pause after a failure be over."""
    with unit_of_work(sessions) as session:
        session.execute(update(Run).values(not_before=START))


@pytest.mark.usefixtures("one_run")
def test_a_failing_job_is_tried_again_after_a_pause_and_given_up_at_last(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    def fail(_: Claim) -> None:
        raise OSError("disk full")

    failing = worker(settings, sessions, fail)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert failing.once()
        status = RunStatus.DEAD if attempt == MAX_ATTEMPTS else RunStatus.TODO
        assert state(sessions) == (status, attempt, "OSError: disk full")
        assert not failing.once()
        hurry(sessions)
    assert not failing.once()


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


def test_every_job_that_is_ticked_is_wired_and_idles_in_peace(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    wired = jobs(settings, sessions)
    quiet = {"fold", "archive", "deliver", "purge"}
    assert quiet | {"judge"} <= set(wired)
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
