"""Run `seqwatch backtest` on the database itself, or list and cancel requested backtests."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from cli.database import connected
from cli.importing import telling
from cli.importing.progress import Progress
from core.clock import utcnow
from core.durations import DAY
from core.errors import Unprocessable
from core.settings import Settings
from db.queries import models
from db.session import read_only, unit_of_work
from services.evaluation.backtest import BacktestRequest, run_backtest, waiting
from services.models.monitor_config import MonitorPlan
from services.read_models import backtests
from services.read_models.paging import Paging

POLL_SECONDS = 0.5
SHOWN = 100  # newest backtests of a list


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Print what monitors would have found, or the backtests that were requested.

    Raises
    ------
    NotFound
        If there is no such model, or no such backtest of it.
    Conflict
        If the backtest to cancel is done, or has failed.
    Unprocessable
        If the file holds no monitors, or the stretch is none.
    """
    with connected(settings) as sessions:
        with read_only(sessions) as session:
            model_id = models.find(session, given.model).id
        if given.list:
            _print(_listed(sessions, model_id), telling.backtests, given.json)
        elif given.cancel:
            with unit_of_work(sessions) as session:
                ended = backtests.cancel(session, model_id, given.cancel, "the shell", utcnow())
            _print([asdict(ended)], telling.backtests, given.json)
        else:
            _print(_found(sessions, model_id, given), telling.backtest, given.json)
    return 0


def _found(
    sessions: sessionmaker[Session], model_id: UUID, given: argparse.Namespace
) -> dict[str, Any]:
    plans = None if given.monitor_file is None else _plans(given.monitor_file)
    asked = BacktestRequest(
        since=given.since,
        until=given.until,
        reference_length=given.reference_days and given.reference_days * DAY,
        plans=plans,
    )
    _wait(sessions, model_id, given.wait)
    progress: Progress | None = None

    def note(_: int, n_days: int | None) -> None:
        nonlocal progress
        if n_days is not None:
            progress = progress or Progress(sys.stderr, n_days, unit="days")
            progress.add(1, sent=True)

    found = run_backtest(sessions, model_id, asked, note)
    if progress is not None:
        progress.done()
    return asdict(found)


def _listed(sessions: sessionmaker[Session], model_id: UUID) -> list[dict[str, Any]]:
    paging = Paging(limit=SHOWN)
    with read_only(sessions) as session:
        found = backtests.listed(session, model_id, None, paging).items
    return [asdict(one) for one in found]


def _print(found: Any, tell: Callable[[Any, TextIO], None], as_json: bool) -> None:
    plain = json.loads(json.dumps(found, default=str))
    if as_json:
        print(json.dumps(plain, indent=2))
    else:
        tell(plain, sys.stdout)


def _wait(sessions: sessionmaker[Session], model_id: UUID, seconds: float) -> None:
    """Wait until every row is folded, archived and joined, or time is up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with read_only(sessions) as session:
            if not any(waiting(session, model_id)):
                return
        time.sleep(POLL_SECONDS)


def _plans(path: Path) -> tuple[MonitorPlan, ...]:
    try:
        stated = json.loads(path.read_text("utf-8"))
        return tuple(MonitorPlan(**one) for one in stated)
    except OSError as error:
        raise Unprocessable(f"--monitor-file: {error.strerror}") from None
    except (ValueError, TypeError):
        raise Unprocessable(
            "--monitor-file: expected a JSON list of objects with name, kind and params"
        ) from None
