"""Fold: every received row is summarised exactly once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from core.schema.rows import Kind
from core.window import Window
from db.queries import summaries, summary_layouts
from db.queries.log import positions
from db.session import read_only
from db.tables import Inbox, Model, Stream
from monitors.slo import sli
from monitors.slo.serving import LATENCY, SERVING, table
from monitors.summaries.streams import INPUT
from monitors.summaries.summary import MAX, MIN, N_MISSING, N_REPEAT, SUM, N, Summary, chunk_at
from services.aggregation import fold as folding
from services.aggregation.fold import PATIENCE, fold, fold_all
from services.ingest import persist
from services.read_models.overview import serving
from tests.stored import rows, whole
from tests.streams import START, add_model, keep, label, prediction
from tests.streams import table as rows_of

LATE = START + PATIENCE
WINDOW = Window(START, START + 6 * HOUR)


def stored(sessions: sessionmaker[Session], model_id: UUID, version: str = "v1") -> Summary:
    with read_only(sessions) as session:
        found = whole(session, INPUT, model_id, version)
        assert isinstance(found, Summary)
        return found


def send(sessions: sessionmaker[Session], model_id: UUID, *rows: dict[str, object]) -> None:
    keep(sessions, model_id, Kind.PREDICTIONS, rows_of(Kind.PREDICTIONS, rows))


def test_a_list_is_counted_in_the_hours_of_its_steps(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    features = {"load": [1.0, 1.0, None], "wind": [5.0]}
    send(sessions, model_id, prediction(START + 2 * HOUR, features=features))

    assert fold_all(sessions, LATE) == 1

    summary = stored(sessions, model_id)
    assert summary.chunks.tolist() == [chunk_at(START + i * HOUR) for i in range(3)]
    assert summary.moments[:, 0, N].tolist() == [1, 1, 0]
    assert summary.moments[:, 0, N_MISSING].tolist() == [0, 0, 1]
    assert summary.moments[:, 0, N_REPEAT].tolist() == [0, 1, 0]
    assert summary.moments[:, 1, SUM].tolist() == [0, 0, 5]


def test_groups_add_up_to_what_one_group_would_be(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    values = np.random.default_rng(7).normal(size=60)
    rows = [
        prediction(
            START + i * HOUR / 10,
            i,
            features={"load": [float(value)], "wind": [1.0]},
            latency_seconds=0.01 * (1 + i % 5),
            status="error" if i % 10 == 0 else "ok",
        )
        for i, value in enumerate(values)
    ]
    for start in range(0, 60, 7):
        send(sessions, model_id, *rows[start : start + 7])
        fold_all(sessions, LATE)

    summary = stored(sessions, model_id)
    by_hour = values.reshape(6, 10)
    np.testing.assert_allclose(summary.moments[:, 0, SUM], by_hour.sum(axis=1))
    np.testing.assert_array_equal(summary.moments[:, 0, MIN], by_hour.min(axis=1))
    np.testing.assert_array_equal(summary.moments[:, 0, MAX], by_hour.max(axis=1))
    assert summary.counts[:, 0].sum() == 60
    with read_only(sessions) as session:
        everything = whole(session, SERVING, model_id, "v1")
    window = Window(START, START + 6 * HOUR)
    params = sli.parse("availability", {})
    slices, found = sli.find("availability").by_slice(everything, params)
    assert found.sum(axis=0).tolist() == [54, 6, 0]
    minutes = (slices[found[:, 1] > 0] - slices[0]) / 6
    assert minutes.tolist() == [0, 60, 120, 180, 240, 300]
    assert table(everything, window, HOUR)[:, LATENCY].sum() == 60


def served(
    sessions: sessionmaker[Session], model_id: UUID, name: str
) -> dict[str, tuple[int, int, int]]:
    kind, params = sli.find(name), sli.parse(name, {})
    with read_only(sessions) as session:
        found = summaries.by_version(session, SERVING, model_id, WINDOW)
    return {version: kind.count(own.within(WINDOW), params) for version, own in found.items()}


def test_rows_without_latency_are_unknown_and_degraded_ones_counted_apart(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions)

    rows = [
        ("v1", "ok", 0.1),
        ("v1", "ok", 3.0),
        ("v1", "ok", None),
        ("v1", "degraded", 0.1),
        ("v1", "degraded", None),
        ("v1", "error", 0.1),
        ("v1", "error", 3.0),
        ("v1", "timeout", None),
        ("v2", "ok", None),
        ("v2", "error", None),
    ]
    for half in (rows[::2], rows[1::2]):  # counts add up over batches
        some = [
            prediction(START, rows.index(row), version=row[0], status=row[1])
            | ({} if row[2] is None else {"latency_seconds": row[2]})
            for row in half
        ]
        send(sessions, model_id, *some)
        fold_all(sessions, LATE)
    assert served(sessions, model_id, "availability") == {"v1": (5, 3, 0), "v2": (1, 1, 0)}
    assert served(sessions, model_id, "latency") == {"v1": (2, 3, 3), "v2": (0, 0, 2)}
    with read_only(sessions) as session:
        found = summaries.by_version(session, SERVING, model_id, WINDOW)
        shown = {one.version: one.served for one in serving.by_version(found, WINDOW)}
    assert shown["v2"].n_degraded == 0
    of_v1 = shown["v1"]
    assert (of_v1.n, of_v1.n_failed, of_v1.n_degraded, of_v1.n_without_latency) == (8, 3, 2, 3)


@pytest.mark.parametrize(
    ("fields", "n_input", "n_served"),
    [
        pytest.param({}, 1, 1, id="a served prediction counts as input and as serving"),
        pytest.param({"shadow": True}, 0, 0, id="a shadow counts in neither"),
        pytest.param(
            {"version": "reference", "output": None}, 1, 0, id="past input was not served"
        ),
    ],
)
def test_what_counts(
    sessions: sessionmaker[Session], fields: dict[str, Any], n_input: int, n_served: int
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START, **fields))

    fold_all(sessions, LATE)

    with read_only(sessions) as session:
        assert len(rows(session, INPUT)) == n_input
        assert len(rows(session, SERVING)) == n_served


def test_the_watermark_is_the_newest_event_and_never_falls(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions)
    for at in (START + HOUR, START + 3 * HOUR, START):
        send(sessions, model_id, prediction(at))
        fold_all(sessions, LATE)

    with read_only(sessions) as session:
        assert session.get_one(Model, model_id).watermark == START + 3 * HOUR


def test_too_little_input_waits_a_minute_for_more(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START))

    assert fold_all(sessions, LATE - timedelta(seconds=1)) == 0
    assert fold_all(sessions, LATE) == 1


def test_enough_input_freezes_the_edges_at_once_and_for_ever(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions)
    features = {"load": list(np.arange(1000.0)), "wind": list(np.arange(1000.0))}
    send(sessions, model_id, prediction(START, features=features))
    assert fold_all(sessions, START) == 1
    with read_only(sessions) as session:
        before = summary_layouts.edges(session, model_id)

    send(sessions, model_id, prediction(START, 1, features={"load": [-9.0], "wind": [1e9]}))
    assert fold_all(sessions, START) == 1

    with read_only(sessions) as session:
        after = summary_layouts.edges(session, model_id)
    assert before is not None
    assert after is not None
    assert before.values[:, [0, -1]].tolist() == [[0.0, 999.0]] * 2
    np.testing.assert_array_equal(before.values, after.values)


def test_labels_are_numbered_without_waiting(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    keep(sessions, model_id, Kind.LABELS, rows_of(Kind.LABELS, [label(START, [1.0])]))

    assert fold_all(sessions, START) == 1

    with read_only(sessions) as session:
        assert session.scalars(select(Inbox.group_no)).all() == [1]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_entry_that_becomes_visible_late_is_folded_all_the_same(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions)
    with sessions() as slow:  # takes the lower id, and commits after the higher was folded
        rows = rows_of(Kind.PREDICTIONS, [prediction(START)])
        persist.keep(slow, model_id, Kind.PREDICTIONS, rows, START)
        send(sessions, model_id, prediction(START, 1))
        assert fold_all(sessions, LATE) == 1
        slow.commit()

    assert fold_all(sessions, LATE) == 1

    assert stored(sessions, model_id).moments[0, 0, N] == 2
    with read_only(sessions) as session:
        assert [*session.scalars(select(Inbox.group_no).order_by(Inbox.id))] == [2, 1]


def test_of_two_folds_at_once_each_row_counts_once(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    for i in range(40):
        send(sessions, model_id, prediction(START, i))
    with ThreadPoolExecutor(4) as pool:
        results = list(
            pool.map(lambda _: fold(sessions, model_id, Kind.PREDICTIONS, LATE), range(4))
        )
    while fold(sessions, model_id, Kind.PREDICTIONS, LATE):
        pass

    assert sum(results) == 40
    assert stored(sessions, model_id).moments[0, 0, N] == 40
    with read_only(sessions) as session:
        groups = session.scalars(select(Inbox.group_no)).all()
        assert session.scalars(select(Stream.folded)).all() == [max(g or 0 for g in groups)]
        assert positions.waiting(session, folded=False) == []


def test_a_transaction_numbers_no_more_than_one_group_may_hold(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = add_model(sessions)
    for i in range(4):
        send(sessions, model_id, prediction(START + i * HOUR, i))
    with read_only(sessions) as session:
        sizes = session.scalars(select(Inbox.n_bytes).order_by(Inbox.id)).all()
    monkeypatch.setattr(folding, "MAX_BYTES", sizes[0] + sizes[1])

    assert fold_all(sessions, LATE) == 4

    with read_only(sessions) as session:
        assert session.scalars(select(Inbox.group_no).order_by(Inbox.id)).all() == [1, 1, 2, 2]
