from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event

import pytest
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.statements import statements
from core.durations import DAY
from core.settings import Settings
from db.queries.queue import runs
from db.session import unit_of_work
from db.tables import LateDay, Model, Run
from jobs.ticker import Ticker, closed_days, late_days, slot_of
from tests.services.loop import Loop, at_once
from tests.streams import START


@pytest.mark.parametrize(
    ("second", "every", "expected"),
    [
        pytest.param(0, 5, 0, id="a slot begins with its first moment"),
        pytest.param(4, 5, 0, id="and lasts"),
        pytest.param(5, 5, 5, id="until the next"),
        pytest.param(59, 7, 56, id="slots are counted from 1970, not from the minute"),
    ],
)
def test_slot_of(second: int, every: int, expected: int) -> None:
    midnight = datetime(1970, 1, 1, tzinfo=UTC)
    found = slot_of(midnight + timedelta(seconds=second), timedelta(seconds=every))
    assert found == midnight + timedelta(seconds=expected)


def test_two_tickers_ask_for_a_closed_day_once(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    loop = Loop(sessions)
    loop.serve(1, error=0.1)
    loop.reach(START + 3 * DAY + timedelta(hours=1))
    tickers = [Ticker(settings, sessions) for _ in range(2)]
    assert at_once(*(partial(ticker.ask, closed_days) for ticker in tickers)) == [None, None]
    tickers[0].ask(closed_days)
    asked = sorted((row.job, row.subject, row.slot) for row in loop.all(Run))
    subject = str(loop.model_id)
    assert asked == [("evaluate", subject, START + number * DAY) for number in (1, 2, 3)]


def test_a_backlog_that_waits_is_read_and_not_written_again(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    loop = Loop(sessions)
    loop.serve(1, error=0.1)
    loop.reach(START + 3 * DAY + timedelta(hours=1))
    ticker = Ticker(settings, sessions)
    with statements(sessions.kw["bind"]) as first:
        ticker.ask(closed_days)
        assert "INSERT" in {one.split()[0] for one in first}
    with statements(sessions.kw["bind"]) as second:
        ticker.ask(closed_days)
        assert {one.split()[0] for one in second} == {"SELECT"}


def test_a_day_that_closes_later_is_asked_for_later(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    loop = Loop(sessions)
    ticker = Ticker(settings, sessions)
    with unit_of_work(sessions) as session:
        session.get_one(Model, loop.model_id).evaluated_until = START
    ticker.ask(closed_days)
    assert loop.all(Run) == []
    loop.reach(START + DAY + timedelta(hours=1))
    ticker.ask(closed_days)
    assert [row.slot for row in loop.all(Run)] == [START + DAY]


def test_late_days_of_a_model_are_asked_for_once_while_a_run_waits(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    loop = Loop(sessions)
    with unit_of_work(sessions) as session:
        session.get_one(Model, loop.model_id).evaluated_until = START + DAY
        session.add(LateDay(model_id=loop.model_id, day=START.date(), rev=1))
        runs.ask(session, "reevaluate", START, START, str(loop.model_id))
    Ticker(settings, sessions).ask(late_days(settings.reevaluate_every))
    assert [row.slot for row in loop.all(Run)] == [START]


def test_running_tickers_ask_for_every_job_and_for_one_run_at_a_time(
    settings: Settings, sessions: sessionmaker[Session]
) -> None:
    loop = Loop(sessions)
    hasty = settings.model_copy(update={"fold_every": timedelta(seconds=0.05)})
    tickers = [Ticker(hasty, sessions) for _ in range(2)]
    for ticker in tickers:
        ticker.start()
    Event().wait(1.0)
    for ticker in tickers:
        ticker.stop()
    asked = Counter(row.job for row in loop.all(Run))
    steady = {"fold", "archive", "publish", "deliver", "kserve", "purge", "retain"}
    assert set(asked) == steady
    # Nobody works them off: what waits in the queue is not asked for again.
    assert max(asked.values()) <= 2, asked
