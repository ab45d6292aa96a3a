"""Wherever an eraser is killed, the next one finishes, and counts every row once."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from db.session import read_only
from db.tables import Erasure
from services.retention.erasure import erase
from tests.archive.crashing import LATER
from tests.erasure.crashing import work
from tests.erasure.rows import (
    GONE,
    STAYS,
    finish,
    number,
    predictions,
    quarantine,
    send,
    want,
)
from tests.erasure.traces import traces
from tests.killed import assert_killed
from tests.streams import add_model

# Where, and whether the fast tests go there too.
POINTS = {
    "drained": ("services.retention.erasure", "drain", "after", False),
    "after the first fence": ("lake.erase", "fence", "after", False),
    "quarantine emptied": ("services.retention.erasure", "_forget", "after", False),
    "one day rewritten": ("lake.erase", "_rewrite", "after", False),
    "labels deleted": ("lake.erase", "delete", "after", False),
    "all rows deleted": ("services.retention.erasure", "_mark", "before", True),
    "a checkpoint made": ("lake.erase", "_older_entries", "before", False),
    "the log of one table cut": ("lake.erase", "_remove", "after", False),
    "one table scrubbed": ("lake.erase", "scrub", "after", False),
    "both scrubbed": ("services.retention.erasure", "leave_no_trace", "before", False),
    "not yet recorded": ("services.retention.erasure", "leave_no_trace", "after", False),
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
    lake: Path,
    tmp_path: Path,
    point: list[str],
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, 0, 60)
    finish(sessions, lake)
    quarantine(sessions, model_id, [{"session_id": GONE}, {"session_id": STAYS}])
    erasure_id = want(sessions, model_id)
    send(sessions, model_id, 60, 5)  # still in the inbox

    assert_killed(work, "erase", database_url, lake, model_id, *point)
    send(sessions, model_id, 65, 5)
    finish(sessions, lake)  # an archiver meanwhile
    assert erase(sessions, lake, model_id, LATER) == 1

    assert traces(tmp_path, GONE) == []
    left = sorted(number(row) for row in predictions(lake, model_id))
    assert left == sorted(2 * [*range(70)])
    with read_only(sessions) as session:
        done = session.get_one(Erasure, erasure_id)
        assert (done.n_lake, done.n_quarantined) == (3 * 70, 1)
