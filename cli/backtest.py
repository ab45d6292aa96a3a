"""Run `seqwatch backtest`: what monitors would have found, from the database itself."""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from cli.database import connected
from cli.importing import telling
from core.errors import Unprocessable
from core.settings import Settings
from db.queries import models
from db.session import read_only
from services.evaluation.backtest import BacktestRequest, run_backtest, waiting
from services.models.monitor_config import MonitorPlan

POLL_SECONDS = 0.5


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Print what monitors would have found; nothing is stored.

    Raises
    ------
    Unprocessable
        If the file holds no monitors, or the stretch is none.
    """
    with connected(settings) as sessions:
        with read_only(sessions) as session:
            model_id = models.find(session, given.model).id
        plans = None if given.monitor_file is None else _plans(given.monitor_file)
        asked = BacktestRequest(
            since=given.since,
            until=given.until,
            reference_days=given.reference_days,
            plans=plans,
        )
        _wait(sessions, model_id, given.wait)
        found = run_backtest(sessions, model_id, asked)
    plain = json.loads(json.dumps(asdict(found), default=str))
    if given.json:
        print(json.dumps(plain, indent=2))
    else:
        telling.backtest(plain, sys.stdout)
    return 0


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
