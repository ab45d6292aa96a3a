"""Fold: what rows are like inside is summed exactly once, of the same rows each time."""

from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.contract import Contract, Padding
from core.schema.feature import Dtype, Feature, Sensitivity
from core.schema.rows import REFERENCE, Kind
from db.queries import summary_layouts
from db.session import read_only, unit_of_work
from monitors.summaries.hourly import HOURS
from monitors.summaries.streams import INPUT, WINDOW_PROFILE
from monitors.summaries.summary import CENTRED, N_MISSING, SUM, N, Summary, chunk_at
from monitors.temporal.window_profile_schema import DAILY_ROWS, Joint, Layout, Numbers, Symbols
from services.aggregation.fold import PATIENCE, fold_all
from tests.stored import rows as rows_of
from tests.stored import whole
from tests.streams import START, add_model, keep, prediction, table

LATE = START + PATIENCE
TEXTS = ("idle", "open", "shut")
CONTRACT = Contract(
    features=(
        Feature(name="load"),
        Feature(name="wind"),
        Feature(name="valve", dtype=Dtype.CATEGORY, vocabulary=TEXTS),
    ),
    targets=("load",),
    step=HOUR,
    input_length=4,
    horizon=3,
)


def row(i: int, load: Any, wind: Any, valve: Any = (), **fields: Any) -> dict[str, Any]:
    features = {"load": [*load], "wind": [*wind], "valve": [*valve]}
    return prediction(START + i * HOUR, i, features=features, **fields)


def send(
    sessions: sessionmaker[Session],
    model_id: UUID,
    *rows: dict[str, Any],
    contract: Contract = CONTRACT,
) -> None:
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows, contract))
    fold_all(sessions, LATE)


def layout(sessions: sessionmaker[Session], model_id: UUID) -> Layout | None:
    with read_only(sessions) as session:
        return summary_layouts.layout(session, model_id)


def stored(sessions: sessionmaker[Session], model_id: UUID, version: str = "v1") -> Summary:
    with read_only(sessions) as session:
        found = whole(session, WINDOW_PROFILE, model_id, version)
        assert isinstance(found, Summary)
        return found


def figure(sessions: sessionmaker[Session], model_id: UUID, name: str) -> Any:
    """Return the moments of one figure, (day, moment)."""
    known = layout(sessions, model_id)
    assert known is not None
    return stored(sessions, model_id).moments[:, known.columns.index(name)]


def some_rows(n: int, seed: int = 3) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        row(
            i,
            rng.normal(size=rng.integers(1, 9)),
            rng.normal(size=6),
            rng.choice(TEXTS, rng.integers(2, 6)).tolist(),
        )
        for i in range(n)
    ]


def test_rows_of_one_step_cost_nothing(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions, CONTRACT)
    send(sessions, model_id, *(row(i, [1.0], [2.0], ["idle"]) for i in range(30)))
    with read_only(sessions) as session:
        assert rows_of(session, WINDOW_PROFILE) == []
        assert summary_layouts.layout(session, model_id) is None
        assert rows_of(session, INPUT) != []


def test_each_event_day_has_what_its_rows_are_like(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions, CONTRACT)
    send(
        sessions,
        model_id,
        row(1, [1.0, 2.0, 4.0], [0.0, 1.0], ["idle", "open", "idle"]),
        row(23, [1.0], [0.0, 1.0], ["open", "idle"]),
        row(24, [4.0, 2.0], [0.0, 3.0], ["shut", "shut"]),
    )
    known = layout(sessions, model_id)
    assert known is not None
    assert [type(block) for block in known.blocks] == [Numbers, Numbers, Symbols, Joint]
    assert stored(sessions, model_id).chunks.tolist() == [
        chunk_at(START),
        chunk_at(START + DAY),
    ]
    length = figure(sessions, model_id, "wind: length")
    assert length[:, [N, N_MISSING, SUM]].tolist() == [[2, 0, 2], [1, 0, 1]]
    steps = figure(sessions, model_id, "load: step size")
    assert steps[:, [N, N_MISSING]].tolist() == [[1, 1], [1, 0]]
    after = figure(sessions, model_id, "valve: after idle")
    assert after[:, [N, SUM]].tolist() == [[1, 1], [0, 0]]
    assert figure(sessions, model_id, "valve: after shut")[:, [N, SUM]].tolist() == [
        [0, 0],
        [1, 2],
    ]


def test_groups_in_any_order_add_up_to_the_bit(sessions: sessionmaker[Session]) -> None:
    rows = some_rows(120)
    whole = add_model(sessions, CONTRACT, "whole")
    send(sessions, whole, *rows)
    pieces = add_model(sessions, CONTRACT, "pieces")
    send(sessions, pieces, *rows[:20])
    # Edges are of the first rows: those of both must be the same ones.
    with unit_of_work(sessions) as session:
        edges, frozen = (
            summary_layouts.edges(session, whole),
            summary_layouts.layout(session, whole),
        )
        assert edges is not None
        assert frozen is not None
        for row in rows_of(session, WINDOW_PROFILE, pieces):
            session.delete(row)
        summary_layouts.freeze(session, pieces, frozen, LATE, WINDOW_PROFILE)
    for some in np.array_split(np.random.default_rng(1).permutation(120), 7):
        send(sessions, pieces, *(rows[i] for i in some))
    one, other = stored(sessions, whole), stored(sessions, pieces)
    assert (one.chunks == other.chunks).all()
    assert (one.moments[..., : SUM + 1] == other.moments[..., : SUM + 1]).all()
    assert (one.counts == other.counts).all()


def test_shadows_are_left_out(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions, CONTRACT)
    send(
        sessions,
        model_id,
        row(1, [1.0, 2.0], [1.0, 2.0]),
        row(2, [1.0, 2.0], [1.0, 2.0], shadow=True),
    )
    assert figure(sessions, model_id, "load: length")[:, N].tolist() == [1]


def test_a_feature_that_comes_later_gets_its_figures_then(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions, CONTRACT)
    send(sessions, model_id, *(row(i, [1.0, 2.0], [3.0]) for i in range(3)))
    before = layout(sessions, model_id)
    send(sessions, model_id, *(row(30 + i, [1.0, 2.0], [3.0, 4.0]) for i in range(3)))
    after = layout(sessions, model_id)
    assert before is not None
    assert after is not None
    assert [block.columns[0] for block in before.blocks] == ["load: length"]
    assert after.blocks[0] == before.blocks[0]
    assert [type(block) for block in after.blocks] == [Numbers, Numbers, Joint]
    assert figure(sessions, model_id, "load: length")[:, N].tolist() == [3, 3]
    assert figure(sessions, model_id, "wind: length")[:, N].tolist() == [0, 3]


def test_of_many_rows_the_same_are_taken_by_whoever_counts(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions, CONTRACT)
    n = 4 * DAILY_ROWS
    rows = [
        prediction(
            START + i * DAY / n,
            i,
            features={"load": [float(i), 1.0], "wind": [1.0, 1.0], "valve": []},
        )
        for i in range(n)
    ]
    send(sessions, model_id, *rows)
    known = layout(sessions, model_id)
    assert known is not None
    assert known.shares == ((chunk_at(START) // HOURS, 4),)
    [taken] = figure(sessions, model_id, "load: length")[:, N]
    # One in four of so many, and five standard deviations of that.
    assert abs(taken - n / 4) < 5 * np.sqrt(n * 3 / 16)
    again = add_model(sessions, CONTRACT, "again")
    with unit_of_work(sessions) as session:
        summary_layouts.freeze(session, again, known, LATE, WINDOW_PROFILE)
    for some in np.array_split(np.arange(n), 3):
        send(sessions, again, *(rows[i] for i in some))
    first, second = (stored(sessions, each).moments for each in (model_id, again))
    assert (np.delete(second, CENTRED, axis=2) == np.delete(first, CENTRED, axis=2)).all()
    np.testing.assert_allclose(second, first, rtol=1e-12, atol=1e-12)


def test_the_share_of_a_day_is_set_with_its_first_row(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions, CONTRACT)
    send(sessions, model_id, *(row(i, [1.0, 2.0], [3.0, 4.0]) for i in range(20)))
    n = 2 * DAILY_ROWS
    busy = [
        prediction(
            START + i * DAY / (n + 10),
            i + 1000,
            features={"load": [1.0, 2.0], "wind": [1.0, 1.0], "valve": []},
        )
        for i in range(n)
    ]
    send(sessions, model_id, *busy)
    assert figure(sessions, model_id, "load: length")[:, N].tolist() == [n + 20]
    send(sessions, model_id, row(24, [1.0, 2.0], [3.0, 4.0]))
    known = layout(sessions, model_id)
    assert known is not None
    first = chunk_at(START) // HOURS
    assert known.shares == ((first, 1), (first + 1, 4))
    assert known.newest == first + 1


def test_padding_is_searched_where_the_contract_has_it(
    sessions: sessionmaker[Session],
) -> None:
    padded = Contract(
        features=(Feature(name="load"),),
        targets=("load",),
        step=HOUR,
        input_length=4,
        horizon=3,
        padding=Padding.LEFT,
        padding_value=-1.0,
    )
    model_id = add_model(sessions, padded)
    rows = [prediction(START, 1, features={"load": [-1.0, -1.0, 2.0, 3.0]})]
    send(sessions, model_id, *rows, contract=padded)
    assert figure(sessions, model_id, "load: padding at the start")[:, SUM].tolist() == [0.5]
    assert figure(sessions, model_id, "load: padding at the end")[:, SUM].tolist() == [0.0]
    assert figure(sessions, model_id, "load: step size")[:, N].tolist() == [1]


@pytest.mark.parametrize(
    "feature",
    [
        pytest.param(Feature(name="v", dtype=Dtype.CATEGORY), id="open"),
        pytest.param(
            Feature(
                name="v", dtype=Dtype.CATEGORY, vocabulary=tuple(f"t{i}" for i in range(17))
            ),
            id="too many texts",
        ),
        pytest.param(
            Feature(
                name="v",
                dtype=Dtype.CATEGORY,
                vocabulary=("t1", "t2"),
                sensitivity=Sensitivity.HASH,
            ),
            id="hashed",
        ),
    ],
)
def test_only_few_known_texts_are_counted_by_what_follows(
    sessions: sessionmaker[Session], feature: Feature
) -> None:
    contract = Contract(
        features=(feature,), targets=("y",), step=HOUR, input_length=4, horizon=3
    )
    model_id = add_model(sessions, contract)
    rows = [prediction(START, 1, features={"v": ["t1", "t2"]}, output={"y": [1.0, 2.0, 3.0]})]
    send(sessions, model_id, *rows, contract=contract)
    assert layout(sessions, model_id) is None


def test_hidden_states_are_input_and_are_evaluated_together(
    sessions: sessionmaker[Session],
) -> None:
    names = ("state.lstm.l0.norm", "state.lstm.l0.mean", "state.lstm.pre_digest")
    contract = Contract(
        features=(
            Feature(name="load"),
            *(Feature(name=name, max_length=1, optional=True) for name in names),
        ),
        targets=("load",),
        step=HOUR,
        input_length=4,
        horizon=3,
    )
    model_id = add_model(sessions, contract)
    rows = []
    for i in range(40):
        features: dict[str, Any] = {"load": [1.0]}
        if i % 4 == 0:  # the hook samples one call in some
            features |= {name: [float(i)] for name in names}
        rows.append(prediction(START + i * HOUR / 2, i, features=features))
    send(sessions, model_id, *rows, contract=contract)
    with read_only(sessions) as session:
        edges = summary_layouts.edges(session, model_id)
        assert edges is not None
        assert {*names} < {*edges.names}  # as ordinary features they are in drift and sequence
    known = layout(sessions, model_id)
    assert known is not None
    [together] = known.blocks
    assert isinstance(together, Joint)
    assert together.names == names[:2]
    waves = stored(sessions, model_id).moments
    assert waves[0, :, [N, N_MISSING]].T.tolist() == [[10, 30]] * waves.shape[1]


def test_past_input_step_by_step_has_no_inside(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions, CONTRACT)
    send(sessions, model_id, row(30, [1.0, 2.0], [3.0, 4.0]))
    past = [row(i, [1.0], [2.0], version=REFERENCE) for i in range(20)]
    send(sessions, model_id, *past)
    with read_only(sessions) as session:
        assert [row.version for row in rows_of(session, WINDOW_PROFILE)] == ["v1"]


def test_what_is_kept_of_a_feature_day_is_at_most_twice_what_input_keeps(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions, CONTRACT)
    rng = np.random.default_rng(1)
    rows = [
        prediction(
            START + i * HOUR / 20,
            i,
            features={"load": rng.normal(size=30), "wind": rng.normal(size=30), "valve": []},
        )
        for i in range(480)
    ]
    send(sessions, model_id, *rows)
    with read_only(sessions) as session:
        # The lists reach back into the day before, which has no row of its own.
        kept = [row for row in rows_of(session, INPUT, model_id) if row.start >= START]
        of_input = sum(len(row.payload) for row in kept)
        of_shape = sum(len(row.payload) for row in rows_of(session, WINDOW_PROFILE))
    assert of_shape < 2 * of_input
