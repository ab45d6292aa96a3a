"""Whenever a worker is killed, each row is summarised once and archived once."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.rows import Kind
from core.window import Window
from db.queries import summaries
from db.queries.log import positions
from db.session import read_only
from db.tables import Inbox
from lake.reading import Log
from monitors.slo import sli
from monitors.summaries.streams import INPUT, OUTPUT
from monitors.summaries.summary import N
from services.aggregation import serving
from services.aggregation.fold import fold_all
from services.labels.error_days import ERRORS, from_bytes
from services.labels.label_join import join_all
from services.retention.archive import archive_all
from tests import stored
from tests.archive.crashing import LATER
from tests.streams import START, add_model, event, keep, label, prediction, table

COLD_STARTS = sli.find("cold_start").stream
ROOT = Path(__file__).parents[2]


@contextmanager
def worker(url: str, lake: Path, *point: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.archive.crashing", url, str(lake), *point],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()


def send(sessions: sessionmaker[Session], model_id: UUID, n: int, first: int) -> None:
    rows = [prediction(START + (i % 60) * HOUR, i) for i in range(first, first + n)]
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows))
    labels = [label(START + (i % 60) * HOUR, [float(i)]) for i in range(first, first + n)]
    keep(sessions, model_id, Kind.LABELS, table(Kind.LABELS, labels))
    events = [
        event(START + (i % 60) * HOUR, i, duration_seconds=0.1) for i in range(first, first + n)
    ]
    keep(sessions, model_id, Kind.EVENTS, table(Kind.EVENTS, events))


def finish(sessions: sessionmaker[Session], lake: Path) -> None:
    fold_all(sessions, LATER)
    archive_all(sessions, lake, LATER)
    join_all(sessions, lake, LATER)


def check(sessions: sessionmaker[Session], lake: Path, model_id: UUID, n: int) -> None:
    """Count what there is, everywhere."""
    window = Window(START - 9 * DAY, START + 9 * DAY)
    history = Log(lake, model_id, kinds=[*Kind])
    events = history.events(window, ["event_id"])
    assert events is not None
    assert sorted(events["event_id"].to_pylist()) == sorted(f"e-{i}" for i in range(n))
    predictions = history.predictions(window, ["prediction_id"])
    labels = history.labels(window, ["actual"])
    assert predictions is not None
    assert labels is not None
    assert sorted(predictions["prediction_id"].to_pylist()) == sorted(
        prediction(START + (i % 60) * HOUR, i)["prediction_id"] for i in range(n)
    )
    labelled = labels["actual"].to_pylist()
    assert sorted(actual["load"][0] for actual in labelled) == list(range(n))
    with read_only(sessions) as session:
        chunks = stored.whole(session, INPUT)
        assert chunks.moments[:, 0, N].sum() == n
        outputs = stored.whole(session, OUTPUT)
        assert outputs.moments[..., N].sum() == 3 * n  # steps of a forecast
        days = [from_bytes(row.payload) for row in stored.rows(session, ERRORS)]
        assert serving.n_rows(session, model_id, window) == n
        cold_starts = summaries.read(session, COLD_STARTS, model_id, [window])
        assert cold_starts is not None
        assert cold_starts.counts.sum() == n
        assert sum(day.n_predictions for day in days) == n
        assert session.scalars(select(Inbox)).all() == []
        assert positions.dirty_days(session) == []


# Where, and whether the fast tests go there too.
POINTS = {
    "before a group is numbered": ("db.queries.log.unfolded", "number", "before", False),
    "after it, not committed": ("db.queries.log.unfolded", "number", "after", False),
    "summaries written, not committed": ("db.queries.summaries", "add_all", "after", True),
    "all of them, not committed": ("services.aggregation.folded", "_keep_time", "after", False),
    "folded, not appended": ("lake.tables", "append", "before", False),
    "appended, not closed": ("lake.tables", "append", "after", True),
    "on disk, not closed": ("lake.storage", "sync", "after", False),
    "closed, not committed": ("db.queries.log.archiving", "close", "after", False),
    "closed and committed": ("lake.upkeep", "tidy", "before", False),
    "a join not committed": ("db.queries.log.positions", "clean", "after", False),
}


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, id=name, marks=() if is_fast else pytest.mark.slow)
        for name, (*point, is_fast) in POINTS.items()
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_killed_at_any_step(
    sessions: sessionmaker[Session],
    database_url: str,
    tmp_path: Path,
    point: list[str],
) -> None:
    lake, model_id = tmp_path / "lake", add_model(sessions)
    send(sessions, model_id, 50, 0)
    finish(sessions, lake)
    send(sessions, model_id, 50, 50)

    with worker(database_url, lake, *point) as process:
        assert process.wait(timeout=60) == -9
    send(sessions, model_id, 50, 100)
    finish(sessions, lake)

    check(sessions, lake, model_id, 150)


@pytest.mark.slow
def test_killed_at_random(
    sessions: sessionmaker[Session], database_url: str, tmp_path: Path
) -> None:
    lake, model_id = tmp_path / "lake", add_model(sessions)
    rng, n = random.Random(20260105), 0
    for _ in range(12):
        with worker(database_url, lake) as one, worker(database_url, lake) as other:
            for process in (one, other):
                assert process.stdout is not None
                assert process.stdout.readline() == "working\n"
            until = time.monotonic() + rng.uniform(0.05, 0.8)
            while time.monotonic() < until:
                send(sessions, model_id, 20, n)
                n += 20
            assert (one.poll(), other.poll()) == (None, None)
    finish(sessions, lake)

    check(sessions, lake, model_id, n)
