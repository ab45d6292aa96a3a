"""Fold: outputs are summarised exactly once, in the hour in which they were predicted."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import REFERENCE, Kind
from db.queries import summary_layouts
from db.session import read_only, unit_of_work
from db.tables import SummaryLayout
from monitors.summaries.streams import INPUT, OUTPUT
from monitors.summaries.summary import (
    CENTRED,
    MAX,
    MIN,
    N_MISSING,
    N_REPEAT,
    SUM,
    Edges,
    N,
    Summary,
    chunk_at,
)
from services.aggregation.fold import PATIENCE, fold, fold_all
from tasks import horizon_buckets
from tests.stored import drop, whole
from tests.stored import rows as rows_of
from tests.streams import CONTRACT, START, add_model, keep, prediction, table

LATE = START + PATIENCE
# Its targets are no features of it: nothing defines beforehand where they lie.
DERIVED = Contract(
    features=(Feature(name="load"),),
    targets=("cost", "price"),
    step=HOUR,
    input_length=4,
    horizon=24,
)


def stored(sessions: sessionmaker[Session], model_id: UUID, version: str = "v1") -> Summary:
    with read_only(sessions) as session:
        found = whole(session, OUTPUT, model_id, version)
        assert isinstance(found, Summary)
        return found


def edges(sessions: sessionmaker[Session], model_id: UUID) -> Edges | None:
    with read_only(sessions) as session:
        return summary_layouts.edges(session, model_id, OUTPUT)


def send(
    sessions: sessionmaker[Session],
    model_id: UUID,
    *rows: dict[str, Any],
    contract: Contract = CONTRACT,
) -> None:
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows, contract))


def derived(i: int, values: Any) -> dict[str, Any]:
    """Return a prediction of `DERIVED`, with values of shape (target, step)."""
    cost, price = values
    return prediction(
        START + i * HOUR / 10,
        i,
        features={"load": [1.0]},
        output={"cost": [*cost], "price": [*price]},
    )


def test_a_forecast_belongs_to_the_hour_in_which_it_was_made(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START + 2 * HOUR, output={"load": [4.0, 7.0, 7.0]}))

    assert fold_all(sessions, LATE) == 1

    predicted, known = stored(sessions, model_id), edges(sessions, model_id)
    assert known is not None
    assert known.names == ("load+1", "load+2..3")
    assert predicted.chunks.tolist() == [chunk_at(START + 2 * HOUR)]
    assert predicted.moments[0, :, [N, N_MISSING, N_REPEAT, SUM, MIN, MAX]].T.tolist() == [
        [1, 0, 0, 4, 4, 4],
        [2, 0, 1, 14, 7, 7],
    ]
    assert predicted.counts[0].sum(axis=1).tolist() == [1, 2]


def test_groups_in_any_order_add_up_to_what_was_predicted(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions, DERIVED)
    chance = np.random.default_rng(11)
    values = chance.normal(size=(60, 2, 24))
    for some in np.array_split(chance.permutation(60), 7):
        rows = [derived(int(i), values[i]) for i in some]
        send(sessions, model_id, *rows, contract=DERIVED)
        fold_all(sessions, LATE)

    predicted = stored(sessions, model_id)
    by_hour = values.reshape(6, 10, 2, 24)
    known = edges(sessions, model_id)
    assert known is not None
    for i in range(2):
        for k, part in enumerate(horizon_buckets.parts(24)):
            column = 4 * i + k
            whole = by_hour[:, :, i, part].reshape(6, -1)
            moments = predicted.moments[:, column]
            assert moments[:, N].tolist() == [whole.shape[1]] * 6
            np.testing.assert_allclose(moments[:, SUM], whole.sum(axis=1))
            np.testing.assert_allclose(
                moments[:, CENTRED], whole.var(axis=1) * whole.shape[1], rtol=1e-9, atol=1e-12
            )
            np.testing.assert_array_equal(moments[:, MIN], whole.min(axis=1))
            np.testing.assert_array_equal(moments[:, MAX], whole.max(axis=1))
            bins = np.searchsorted(known.values[column], whole, side="right")
            counts = [np.bincount(hour, minlength=18).tolist() for hour in bins]
            assert predicted.counts[:, column].tolist() == counts


@pytest.mark.parametrize(
    ("fields", "n_predicted"),
    [
        pytest.param({}, 1, id="what was served counts"),
        pytest.param({"status": "degraded"}, 1, id="degraded or not"),
        pytest.param({"shadow": True}, 0, id="a shadow is not counted"),
        pytest.param({"status": "error", "output": None}, 0, id="a failure has no output"),
        pytest.param({"version": REFERENCE, "output": None}, 0, id="nor does past input"),
    ],
)
def test_what_counts(
    sessions: sessionmaker[Session], fields: dict[str, Any], n_predicted: int
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START, **fields), prediction(START, 1, version="v2"))

    assert fold_all(sessions, LATE) == 2

    with read_only(sessions) as session:
        versions = [row.version for row in rows_of(session, OUTPUT)]
    assert versions == [*["v1"] * n_predicted, "v2"]


def test_a_stream_without_outputs_has_no_summaries_of_them(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START, version=REFERENCE, output=None))

    assert fold_all(sessions, LATE) == 1

    assert edges(sessions, model_id) is None


def test_forecasts_take_the_edges_of_what_they_forecast(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions)
    past = {"load": [float(i) for i in range(1_601)], "wind": [0.0] * 1_601}
    send(
        sessions,
        model_id,
        prediction(START, version=REFERENCE, output=None, features=past),
        prediction(START, 1, features=past),
    )

    assert fold_all(sessions, START) == 2

    known = edges(sessions, model_id)
    assert known is not None
    assert (
        known.values[0].tolist() == known.values[1].tolist() == [100.0 * i for i in range(17)]
    )


def test_what_is_derived_sets_its_own_edges(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions, DERIVED)
    values = np.broadcast_to(np.arange(1.0, 25.0), (2, 24))
    rows = [derived(i, values) for i in range(1_000)]
    send(sessions, model_id, *rows, contract=DERIVED)

    assert fold_all(sessions, START) == 1_000

    known = edges(sessions, model_id)
    assert known is not None
    assert known.values.shape == (8, 17)
    assert known.values[:, [0, 8, 16]].tolist() == [[1.0, 12.5, 24.0]] * 8


def test_it_waits_for_enough_of_what_nothing_is_known_about_and_not_for_ever(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions, DERIVED)
    with unit_of_work(sessions) as session:  # edges of input alone, as before there were others
        own = Edges(names=("load",), values=np.linspace(0.0, 1.0, 33)[np.newaxis])
        summary_layouts.freeze(session, model_id, own, START)
    send(sessions, model_id, derived(0, np.ones((2, 24))), contract=DERIVED)

    assert fold_all(sessions, START) == 0
    assert edges(sessions, model_id) is None
    assert fold_all(sessions, LATE) == 1

    assert stored(sessions, model_id).moments[0, :, N].tolist() == [1, 3, 12, 8] * 2


def test_edges_never_change(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START))
    fold_all(sessions, LATE)
    before = edges(sessions, model_id)
    rows = [prediction(START, i, output={"load": [1e6] * 3}) for i in range(1, 1_000)]
    send(sessions, model_id, *rows)
    fold_all(sessions, LATE)

    after = edges(sessions, model_id)
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(before.values, after.values)
    assert stored(sessions, model_id).counts[0, 0, -1] >= 999


def test_a_model_from_before_outputs_were_summarised_begins_with_the_next_fold(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START))
    fold_all(sessions, LATE)
    with unit_of_work(sessions) as session:
        drop(session, OUTPUT)
        session.execute(delete(SummaryLayout).where(SummaryLayout.stream == OUTPUT.name))

    send(sessions, model_id, prediction(START + HOUR, 1))
    fold_all(sessions, LATE)

    assert stored(sessions, model_id).chunks.tolist() == [chunk_at(START + HOUR)]
    with read_only(sessions) as session:
        assert len(rows_of(session, INPUT)) == 2


def test_of_two_folds_at_once_each_forecast_counts_once(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_model(sessions)
    for i in range(40):
        send(sessions, model_id, prediction(START, i))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fold(sessions, model_id, Kind.PREDICTIONS, LATE), range(4)))
    while fold(sessions, model_id, Kind.PREDICTIONS, LATE):
        pass

    assert stored(sessions, model_id).moments[0, :, N].tolist() == [40, 80]


def test_a_day_of_seven_targets_and_24_steps_is_small(sessions: sessionmaker[Session]) -> None:
    targets = tuple(f"t{i}" for i in range(7))
    contract = Contract(
        features=(Feature(name="load"),),
        targets=targets,
        step=HOUR,
        input_length=4,
        horizon=24,
    )
    model_id = add_model(sessions, contract)
    chance = np.random.default_rng(3)
    rows = [
        prediction(
            START + i * HOUR / 10,
            i,
            features={"load": [1.0]},
            output={target: [*chance.normal(size=24)] for target in targets},
        )
        for i in range(240)
    ]
    send(sessions, model_id, *rows, contract=contract)
    fold_all(sessions, LATE)

    with read_only(sessions) as session:
        payloads = [row.payload for row in rows_of(session, OUTPUT)]
    assert len(payloads) == 24
    per_target = sum(map(len, payloads)) / len(targets)
    assert 6_400 < per_target < 6_700  # bytes a day, as in docs/operate.md
