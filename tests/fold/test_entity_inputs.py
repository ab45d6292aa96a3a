"""State of the inputs of each entity: the same however rows are cut, and bounded."""

from itertools import pairwise
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy.orm import Session, sessionmaker

from db.tables import EntityState
from monitors.data_quality.entity_health import EntityInputs
from services.aggregation import entities, entity_inputs
from tests.streams import CONTRACT, START, add_model

INPUTS = ("load", "wind")
FIGURES = ("absent", "still", "longest_absent", "longest_still", "n_values", "n_runs")


def rows(minutes: range, names: list[str]) -> pa.Table:
    """Return a row of each entity a minute: `load` stands still, or is missing, at times."""
    found = []
    for minute in minutes:
        for i, name in enumerate(names):
            chance = np.random.default_rng([minute, i])
            value = [float(chance.integers(3)) if chance.random() < 0.7 else None]
            features = {"load": value, "wind": [1.0, float(minute)]}
            at = int(START.timestamp() * 1e6) + (60 * minute + i) * 1_000_000
            row = {"entity": name, "at": at, "received_at": at, "features": features}
            found.append(row | {"version": "v1"})
    schema = pa.schema(
        [
            ("entity", pa.string()),
            ("at", pa.timestamp("us", "UTC")),
            ("received_at", pa.timestamp("us", "UTC")),
            ("features", pa.struct([(name, pa.list_(pa.float64())) for name in INPUTS])),
            ("version", pa.string()),
        ]
    )
    return pa.Table.from_pylist(found, schema=schema)


@pytest.fixture
def model_id(sessions: sessionmaker[Session]) -> UUID:
    return add_model(sessions, CONTRACT)


def add(session: Session, model_id: UUID, table: pa.Table, inputs: tuple[str, ...]) -> None:
    found = entities.seen(table, inputs)
    assert found is not None
    entities.add(session, {model_id: found})


def state(session: Session, model_id: UUID) -> EntityInputs:
    known = entities.inputs(session.get(EntityState, model_id))
    assert known is not None
    return known


def test_the_state_does_not_depend_on_how_rows_are_cut_into_folds(
    session: Session, model_id: UUID
) -> None:
    names = ["a", "b", "c"]
    whole = rows(range(60), names)
    add(session, model_id, whole, INPUTS)
    expected = state(session, model_id)
    session.delete(session.get_one(EntityState, model_id))
    session.flush()
    cuts = [0, 1, 2, 50, 53, 101, whole.num_rows]
    for start, end in pairwise(cuts):
        add(session, model_id, whole.slice(start, end - start), INPUTS)
    add(session, model_id, whole.slice(0, 90), INPUTS)  # late: no newer than what there is
    found = state(session, model_id)
    for name in FIGURES:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    assert expected.n_runs[1].tolist() == [59, 59, 59]  # of a list the last step counts
    assert expected.longest_still[1].tolist() == [60, 60, 60]
    assert expected.longest_absent[0].max() > 60


def test_of_too_many_entities_those_seen_last_are_followed(
    session: Session, model_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entities, "MOST", 3)
    add(session, model_id, rows(range(10), ["a", "b", "c"]), INPUTS)
    add(session, model_id, rows(range(10, 20), ["x", "b", "c"]), INPUTS)
    found = state(session, model_id)
    assert found.entities == ["b", "c", "x"]
    assert found.n_runs[1].tolist() == [19, 19, 9]


def test_cells_are_bounded_and_follow_inputs_and_entities_by_name(
    session: Session, model_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entity_inputs, "MOST_CELLS", 4)
    add(session, model_id, rows(range(10), ["a", "b", "c"]), ("wind",))
    assert state(session, model_id).n_runs.tolist() == [[9, 9, 9]]
    entities.forget(session, model_id, ["a"])
    add(session, model_id, rows(range(10, 20), ["a", "b", "c"]), INPUTS)
    found = state(session, model_id)
    assert (found.inputs, found.entities) == (INPUTS, ["b", "c"])
    assert found.n_runs[1].tolist() == [19, 19]
    assert found.n_values[0].max() <= 10
