"""After a standstill: no slot of a monitor is skipped, and nothing else is done many times."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.durations import DAY, HOUR
from core.settings import Settings
from db.queries.queue import runs
from db.session import unit_of_work
from db.tables import Run
from db.tables.queue import RunStatus
from jobs.catch_up import POLICIES, CatchUp
from jobs.ticker import Ticker, at_slots, closed_days, slot_of
from jobs.wiring import jobs
from jobs.worker import Worker
from services.rollouts import training_runs
from tests.services.loop import Loop
from tests.streams import START

EVERY = timedelta(minutes=1)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_job_has_a_policy(settings: Settings, sessions: sessionmaker[Session]) -> None:
    assert {*POLICIES} == {*jobs(settings, sessions), training_runs.JOB}


@pytest.mark.parametrize("job", sorted(POLICIES))
def test_the_policy_of_every_job_is_documented(job: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "operate.md").read_text("utf-8")
    (line,) = [row for row in text.splitlines() if row.startswith(f"| `{POLICIES[job]}` |")]
    assert f"`{job}`" in line


def test_a_worker_that_was_down_evaluates_each_day_once_and_in_order(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    loop = Loop(sessions)
    loop.serve(1, error=0.1)
    loop.reach(START + 4 * DAY + HOUR)
    only = {"evaluate": jobs(settings, sessions)["evaluate"]}
    worker = Worker(settings, sessions, only)
    for _ in range(2):
        Ticker(settings, sessions).ask(closed_days)
        while worker.once():
            pass
    with sessions() as session:
        done = [(run.slot, run.status) for run in session.query(Run).order_by(Run.slot, Run.id)]
    assert done == [(START + n * DAY, RunStatus.DONE) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    "job", sorted(job for job, policy in POLICIES.items() if policy is CatchUp.LATEST)
)
@pytest.mark.parametrize("is_open", [False, True], ids=["it was done", "it waits"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_missed_slots_of_other_jobs_are_one_run(
    settings: Settings, sessions: sessionmaker[Session], job: str, is_open: bool
) -> None:
    now = utcnow()
    earlier = slot_of(now - DAY, EVERY)
    with unit_of_work(sessions) as session:
        runs.ask(session, job, earlier, now)
        if not is_open:
            claim = runs.claim(session, now, EVERY, [job])
            assert claim is not None
            runs.finish(session, claim, now)
    for _ in range(2):
        Ticker(settings, sessions).ask(at_slots(job, EVERY))
    with sessions() as session:
        slots = [run.slot for run in session.query(Run).order_by(Run.slot)]
    assert slots[0] == earlier
    assert len(slots) == (1 if is_open else 2)
    assert slots[-1] >= (earlier if is_open else slot_of(now, EVERY))
