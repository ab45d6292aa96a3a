"""The log of the lake after an erasure: no past state, and no name in a statistic."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from lake import tables
from lake.reading import Log, Snapshot, SnapshotGone
from services.aggregation.fold import fold_all
from services.retention.archive import archive_all
from services.retention.erasure import erase
from tests.archive.crashing import LATER
from tests.databases import ON_SQLITE
from tests.erasure.rows import ALWAYS, GONE, STAYS, finish, send, want
from tests.erasure.traces import traces
from tests.streams import add_model


@ON_SQLITE
def test_past_states_are_gone_and_reading_them_raises_an_error(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, 0, 5)
    finish(sessions, lake)
    pinned = Log(lake, model_id).snapshot
    reading = Log(lake, model_id)
    want(sessions, model_id)
    erase(sessions, lake, model_id, LATER)

    with pytest.raises(SnapshotGone):
        Log(lake, model_id, pinned)
    found = reading.predictions(
        ALWAYS, ["session_id"]
    )  # its files are gone: it reads the log again
    assert found is not None
    assert set(found["session_id"].to_pylist()) == {None, STAYS}
    assert Log(lake, model_id, Log(lake, model_id).snapshot).newest_day() is not None
    assert Log(lake, model_id, Snapshot()).newest_day() is None


@ON_SQLITE
def test_the_log_holds_the_range_of_no_text(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, 0, 5)
    finish(sessions, lake)
    log = "".join(path.read_text() for path in lake.rglob("_delta_log/*.json"))
    assert "minValues" in log
    assert GONE not in log


@ON_SQLITE
def test_an_old_log_that_holds_texts_is_cut(
    sessions: sessionmaker[Session], lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "statistics", lambda _: "prediction_id,session_id")
    model_id = add_model(sessions)
    for i in range(3):
        send(sessions, model_id, 10 * i, 10)
        finish(sessions, lake)
    monkeypatch.undo()
    log = "".join(path.read_text() for path in lake.rglob("predictions/_delta_log/*.json"))
    assert GONE in log
    want(sessions, model_id)
    erase(sessions, lake, model_id, LATER)
    assert traces(lake, GONE) == []
    assert fold_all(sessions, LATER) == archive_all(sessions, lake, LATER) == 0
