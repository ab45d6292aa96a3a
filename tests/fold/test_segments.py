"""Fold: what is counted of each segment adds up to the total, however rows come."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from core.schema.feature import Dtype, Feature, Sensitivity
from core.schema.rows import REFERENCE, Kind
from core.streams import Additive
from db.queries import segments as stored
from db.session import read_only, unit_of_work
from db.tables import Model
from monitors.baselines.segments import (
    FIRST,
    INPUT_BY_SEGMENT,
    MOST,
    NONE,
    OTHER,
    OUTPUT_BY_SEGMENT,
    of_place,
    total,
)
from monitors.summaries.streams import INPUT, OUTPUT
from monitors.summaries.summary import SUM, N, Summary, chunk_at
from services.aggregation.fold import PATIENCE, fold_all
from tests.stored import rows as rows_of
from tests.stored import whole
from tests.streams import CONTRACT, START, add_model, keep, prediction, table

LATE = START + PATIENCE
BY_ENTITY = replace(CONTRACT, segment_by="entity")
SHOP = Feature(name="shop", dtype=Dtype.CATEGORY, optional=True)


def by_shop(**fields: Any) -> Any:
    return replace(
        CONTRACT, features=(*CONTRACT.features, replace(SHOP, **fields)), segment_by="shop"
    )


def visit(i: int, shop: list[str] | None, **fields: Any) -> dict[str, Any]:
    features = {"load": [float(i)], "wind": [2.0], "shop": shop}
    return prediction(START + i * HOUR / 4, i, features=features, **fields)


def send(
    sessions: sessionmaker[Session], model_id: UUID, rows: list[dict[str, Any]], contract: Any
) -> None:
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows, contract))
    fold_all(sessions, LATE)


def read(
    sessions: sessionmaker[Session], stream: Additive[Summary], version: str = "v1"
) -> Summary:
    with read_only(sessions) as session:
        found = whole(session, stream, None, version)
        assert isinstance(found, Summary)
        return found


def names(sessions: sessionmaker[Session], model_id: UUID) -> dict[int, str | None]:
    with read_only(sessions) as session:
        return stored.names(session, model_id)


def sums(summary: Summary, place: int) -> list[float]:
    own = of_place(summary, place)
    return [own.moments[:, 0, N].sum(), own.moments[:, 0, SUM].sum()]


def test_names_go_to_the_first_sixteen_and_the_rest_is_pooled(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions, BY_ENTITY)
    rows = [
        prediction(
            START + i * HOUR / 10,
            i,
            entity=None if i % 10 == 9 else f"e{i % 20}",
            features={"load": [float(i)], "wind": [2.0]},
        )
        for i in range(200)
    ]
    send(sessions, model_id, rows, BY_ENTITY)

    order = [f"e{i}" for i in range(20) if i % 10 != 9]
    given = names(sessions, model_id)
    assert given == dict(enumerate(order[:MOST], start=FIRST))
    seen = read(sessions, INPUT_BY_SEGMENT)
    for place, name in given.items():
        mine = [float(i) for i in range(200) if i % 10 != 9 and f"e{i % 20}" == name]
        assert sums(seen, place) == [len(mine), sum(mine)]
    assert sums(seen, NONE) == [20, sum(range(9, 200, 10))]
    others = [i for i in range(200) if i % 10 != 9 and f"e{i % 20}" in order[MOST:]]
    assert sums(seen, OTHER) == [len(others), sum(others)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_segments_add_up_to_the_total_however_rows_are_cut_and_whenever_they_come(
    sessions: sessionmaker[Session], seed: int
) -> None:
    model_id = add_model(sessions, BY_ENTITY)
    chance = np.random.default_rng(seed)
    rows = [
        prediction(
            START + int(chance.integers(96)) * HOUR,
            i,
            version=["v1", "v2", REFERENCE][i % 3],
            entity=f"e{chance.integers(25)}",
            shadow=bool(i % 7 == 0),
            features={"load": chance.normal(size=3).tolist(), "wind": [2.0, None, 2.0]},
            output=None if i % 3 == 2 else {"load": chance.normal(size=3).tolist()},
        )
        for i in range(300)
    ]
    for some in np.split(np.arange(300), np.sort(chance.integers(0, 300, 6))):
        if some.size:
            send(sessions, model_id, [rows[i] for i in some], BY_ENTITY)

    first = dict.fromkeys(row["entity"] for row in rows if not row["shadow"])
    assert [*names(sessions, model_id).values()] == [*first][:MOST]
    for version in ("v1", "v2", REFERENCE):
        pairs: list[tuple[Any, Any]] = [(INPUT_BY_SEGMENT, INPUT)]
        if version != REFERENCE:
            pairs.append((OUTPUT_BY_SEGMENT, OUTPUT))
        for apart, together in pairs:
            added = total(read(sessions, apart, version))
            kept = read(sessions, together, version)
            assert added.chunks.tolist() == kept.chunks.tolist()
            assert (added.counts == kept.counts).all()
            np.testing.assert_allclose(added.moments, kept.moments, rtol=1e-12)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, ["b", "c"], id="open words are named as they come"),
        pytest.param(
            {"vocabulary": ("a", "b", "c")}, ["a", "b", "c"], id="closed words in their order"
        ),
        pytest.param(
            {"vocabulary": ("a", "b", "c"), "sensitivity": Sensitivity.HASH},
            ["b", "c"],
            id="of hashed words only what comes is known",
        ),
    ],
)
def test_a_row_belongs_to_the_last_value_of_its_list(
    sessions: sessionmaker[Session], fields: dict[str, Any], expected: list[str]
) -> None:
    contract = by_shop(**fields)
    model_id = add_model(sessions, contract)
    rows = [visit(0, ["a", "b"]), visit(1, ["c"]), visit(2, None), visit(3, ["b"])]
    send(sessions, model_id, rows, contract)

    given = names(sessions, model_id)
    assert [*given.values()] == expected
    seen, of = read(sessions, INPUT_BY_SEGMENT), {name: place for place, name in given.items()}
    assert sums(seen, of["b"]) == [2, 3]
    assert sums(seen, of["c"]) == [1, 1]
    assert sums(seen, NONE) == [1, 2]
    assert sums(seen, OTHER) == [0, 0]


def test_a_window_lies_in_the_hours_of_its_steps(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions, BY_ENTITY)
    row = prediction(START + 5 * HOUR, features={"load": [1.0, 2.0, 4.0], "wind": [0.0] * 3})
    send(sessions, model_id, [row], BY_ENTITY)

    own = of_place(read(sessions, INPUT_BY_SEGMENT), FIRST)
    assert own.chunks.tolist() == [chunk_at(START + i * HOUR) for i in (3, 4, 5)]
    assert own.moments[:, 0, SUM].tolist() == [1.0, 2.0, 4.0]


def test_segments_begin_when_the_contract_names_them(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, [prediction(START, 0)], CONTRACT)
    with read_only(sessions) as session:
        assert rows_of(session, INPUT_BY_SEGMENT) == []
        assert stored.names(session, model_id) == {}
    with unit_of_work(sessions) as session:
        session.get_one(Model, model_id).contract = BY_ENTITY
    send(sessions, model_id, [prediction(START, 1), prediction(START, 2)], BY_ENTITY)

    assert read(sessions, INPUT).moments[0, 0, N] == 3
    assert sums(read(sessions, INPUT_BY_SEGMENT), FIRST) == [2, 2]
