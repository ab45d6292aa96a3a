"""No number that is accepted makes the fold or the join raise, whatever its magnitude."""

from datetime import timedelta
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.durations import HOUR
from core.policy import Policy
from core.schema.contract import Contract
from core.schema.feature import LARGEST, Feature
from core.schema.rows import Kind
from core.schema.task import TASKS, Matched, Units
from db.queries.log.positions import Batch
from monitors.summaries.summary import CENTRED, MAX, MIN, N_MISSING, SUM, N, merge
from services.aggregation.fold import Group, summarised
from services.aggregation.folded import Frozen, Made
from tasks.sums import parts, total
from tests.streams import START, prediction, table

CONTRACT = Contract(
    features=(
        Feature(name="load"),
        Feature(name="wind", max_length=4, optional=True),
        Feature(name="sun", max_length=4, optional=True),
        Feature(name="area", optional=True),
    ),
    targets=("load", "price"),
    step=HOUR,
    input_length=4,
    horizon=3,
)
MAGNITUDES = [0.0, 5e-324, 1e-300, 1e-150, 1e-12, 1.0, 2.0**53, 1e50, 1e99, LARGEST]
NUMBERS = st.one_of(
    st.sampled_from([sign * size for size in MAGNITUDES for sign in (1, -1)]),
    st.floats(-LARGEST, LARGEST, allow_subnormal=True),
)
LISTS = st.lists(st.one_of(st.none(), NUMBERS), min_size=1, max_size=4)


@st.composite
def a_row(draw: st.DrawFn, number: int = 0) -> dict[str, Any]:
    output = {
        target: draw(st.lists(NUMBERS, min_size=3, max_size=3)) for target in CONTRACT.targets
    }
    return prediction(
        START + draw(st.integers(0, 30)) * HOUR,
        draw(st.integers(0, 10**6)),
        features={
            "load": [draw(st.one_of(st.none(), NUMBERS))],
            "wind": draw(st.one_of(st.none(), LISTS)),
            "sun": draw(st.one_of(st.none(), LISTS)),
            "area": None,
        },
        output=draw(st.one_of(st.none(), st.just(output))),
        latency_seconds=draw(st.one_of(st.none(), st.floats(0, LARGEST))),
    )


def group(before: Frozen) -> Group:
    batch = Batch(ids=(1,), n_rows=1, oldest=START, last_group=None)
    return Group(
        kind=Kind.PREDICTIONS,
        batch=batch,
        payloads=[],
        last_group=0,
        contract=CONTRACT,
        policy=Policy(),
        clock=None,
        before=before,
        busy=0.0,
    )


@settings(deadline=None, max_examples=60)
@given(first=st.lists(a_row(), min_size=1, max_size=5), then=st.lists(a_row(), min_size=1))
def test_rows_of_any_magnitude_are_summarised_and_merged(first: Any, then: Any) -> None:
    made = summarised(
        group(Frozen(input=None, output=None)),
        table(Kind.PREDICTIONS, first, CONTRACT),
        is_late=True,
    )
    assert isinstance(made, Made)
    again = summarised(group(made.edges), table(Kind.PREDICTIONS, then, CONTRACT), is_late=True)
    assert isinstance(again, Made)
    for part in (*made.parts, *again.parts):
        for summary in (part.input, part.output, part.window_profile):
            if summary is not None:
                assert np.isfinite(summary.moments[..., [N, N_MISSING, SUM]]).all()
                assert np.isfinite(summary.moments[..., CENTRED]).all()
                is_seen = summary.moments[..., N] > 0
                assert np.isfinite(summary.moments[is_seen][:, [MIN, MAX]]).all()
    if made.parts and again.parts:
        merge(made.parts[0].input, again.parts[0].input)


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.one_of(st.just(float("nan")), NUMBERS), min_size=36, max_size=36),
    std=st.sampled_from([1e-300, 1e-12, 1.0, 1e100]),
)
def test_errors_of_any_magnitude_are_summed(values: list[float], std: float) -> None:
    forecast, actual = np.array(values).reshape(2, 3, 3, 2)
    units = Units(std=np.array([std, 1.0]), season_steps=1)
    rows = table(Kind.PREDICTIONS, [prediction(START + hour * HOUR) for hour in (0, 3, 5)])
    matched = Matched(rows=rows, predicted=forecast, actual=actual, naive=actual)
    for task in (TASKS.find("forecast"), TASKS.find("classification")):
        scored = task.score(CONTRACT, units, matched)
        assert np.isfinite(total(parts(scored))).all()
        for each in task.streams:
            sums = each.sums(matched, scored)
            assert each.stream.from_bytes(each.stream.to_bytes(sums)).shape == sums.shape


def test_what_is_constant_and_what_is_missing_is_summarised() -> None:
    rows = [
        prediction(
            START + timedelta(hours=i),
            i,
            features={"load": [None], "wind": [LARGEST] * 4, "sun": [5e-324] * 4, "area": None},
            output={"load": [0.0] * 3, "price": [-LARGEST] * 3},
        )
        for i in range(3)
    ]
    made = summarised(
        group(Frozen(input=None, output=None)),
        table(Kind.PREDICTIONS, rows, CONTRACT),
        is_late=True,
    )
    assert isinstance(made, Made)
    assert made.parts[0].input.moments[:, 0, N_MISSING].sum() == 3
