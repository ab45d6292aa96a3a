"""On an object store that fails: nothing is lost, nothing is there twice."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from deltalake.exceptions import DeltaError
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from core.schema.rows import Kind
from core.window import Window
from db.session import read_only
from db.tables import Inbox
from lake import storage
from lake.reading import Log
from lake.tables import open_table
from services.aggregation.fold import PATIENCE, fold_all
from services.labels.label_join import join_all
from services.retention.archive import archive_all
from tests.objectstore import Running
from tests.streams import START, add_model, keep, label, prediction, table

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

LATE = START + PATIENCE
ALWAYS = Window(START - timedelta(days=9), START + timedelta(days=9))


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("refuse", id="writes are refused"),
        pytest.param("cut", id="writes are done and the answer is lost"),
    ],
)
def test_a_failed_archive_is_made_up_for(
    sessions: sessionmaker[Session], object_store: Running, how: str
) -> None:
    lake, model_id = object_store.bucket(uuid4().hex), add_model(sessions)
    hurry = {
        "MAX_RETRIES": "1",
        "RETRY_TIMEOUT": "2s",
        "TIMEOUT": "1s",
    }
    hasty = replace(lake, options=(*lake.options, *hurry.items()))

    def send(first: int) -> None:
        rows = [prediction(START + i * HOUR, i) for i in range(first, first + 10)]
        keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows))
        labels = [label(START + i * HOUR, [float(i)]) for i in range(first, first + 10)]
        keep(sessions, model_id, Kind.LABELS, table(Kind.LABELS, labels))
        fold_all(sessions, LATE)

    send(0)
    archive_all(sessions, lake, LATE)
    send(10)
    with object_store.faulty(how), pytest.raises((DeltaError, OSError)):
        archive_all(sessions, hasty, LATE)
    with read_only(sessions) as session:
        assert session.scalars(select(Inbox.n_rows)).all() != []
    send(20)
    while archive_all(sessions, lake, LATE):
        join_all(sessions, lake, LATE)

    history = Log(lake, model_id)
    found = history.predictions(ALWAYS, ["prediction_id"])
    labelled = history.labels(ALWAYS, ["actual"])
    assert found is not None
    assert labelled is not None
    ids = [prediction(START + i * HOUR, i)["prediction_id"] for i in range(30)]
    assert sorted(found["prediction_id"].to_pylist()) == sorted(ids)
    assert sorted(row["load"][0] for row in labelled["actual"].to_pylist()) == list(range(30))
    with read_only(sessions) as session:
        assert session.scalars(select(Inbox.n_rows)).all() == []


def test_archivers_that_race_append_each_group_once(
    sessions: sessionmaker[Session], object_store: Running
) -> None:
    lake, model_id = object_store.bucket(uuid4().hex), add_model(sessions)
    for i in range(12):
        rows = table(Kind.PREDICTIONS, [prediction(START + i * HOUR, i)])
        keep(sessions, model_id, Kind.PREDICTIONS, rows)
        fold_all(sessions, LATE)
        if i % 3 == 2:
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(lambda _: archive_all(sessions, lake, LATE), range(3)))
    found = Log(lake, model_id).predictions(ALWAYS, ["prediction_id"])
    assert found is not None
    assert found.num_rows == 12


def test_a_model_s_tables_are_removed_and_no_other_s(
    sessions: sessionmaker[Session], object_store: Running
) -> None:
    lake = object_store.bucket(uuid4().hex)
    gone, stays = add_model(sessions), add_model(sessions, name="other")
    for model_id in (gone, stays):
        rows = table(Kind.PREDICTIONS, [prediction(START, 0)])
        keep(sessions, model_id, Kind.PREDICTIONS, rows)
    fold_all(sessions, LATE)
    archive_all(sessions, lake, LATE)
    for _ in range(2):  # once more changes nothing
        storage.remove(lake, str(gone))
        assert open_table(lake, gone, Kind.PREDICTIONS) is None
        assert open_table(lake, stays, Kind.PREDICTIONS) is not None
