"""Window profile: what is kept of the inside of rows, figure by figure."""

import json
import math

import numpy as np
import pytest

from monitors.summaries.hourly import HOURS
from monitors.summaries.serialization import from_bytes, from_many, to_bytes
from monitors.summaries.summary import MAX, MIN, N_MISSING, SUM, Floats, Ints, N, Summary, merge
from monitors.temporal import window_profile_sums
from monitors.temporal.window_profile_schema import (
    BUCKETS,
    LAGS,
    N_EDGES,
    N_FREQUENCIES,
    Joint,
    Layout,
    Numbers,
    Symbols,
    centre_and_scale,
)
from monitors.temporal.window_profile_sums import Lists
from tests.monitors.window_profiles import SYMBOLS

# One of each kind of block, with every figure there is.
NUMBERS = Numbers(name="x", centre=0.0, scale=1.0, lags=LAGS, padding=0.0)
JOINT = Joint(title="both", names=("x", "y"), centres=(0.0, 0.0), scales=(1.0, 1.0), steps=8)
EVERY = Layout(blocks=(NUMBERS, SYMBOLS, JOINT))


def some_rows(values: Floats, days: int = 3) -> tuple[Floats, Ints, Floats]:
    """Return rows of eight steps, their days and times."""
    rows = values[: values.size // 8 * 8].reshape(-1, 8)
    n = len(rows)
    return rows, np.arange(n) % days, 2 * np.pi * np.arange(n) / 24


def every_sum(rows: Floats, days: Ints, phase: Floats) -> Summary:
    """Sum all figures of rows, which stand for two features and a text."""
    length = np.full(len(rows), rows.shape[1])
    one = Lists(values=rows.ravel(), lengths=length)
    other = Lists(values=rows[:, ::-1].ravel(), lengths=length)
    with np.errstate(invalid="ignore", over="ignore"):
        codes = np.where(np.abs(rows) < 1e9, np.abs(rows) % 3 // 1, np.nan)
    return window_profile_sums.beside(
        [
            window_profile_sums.by_day(
                window_profile_sums.of_numbers(NUMBERS, one, phase), days, NUMBERS.edges
            ),
            window_profile_sums.of_symbols(
                SYMBOLS, Lists(values=codes.ravel(), lengths=length), days
            ),
            window_profile_sums.by_day(
                window_profile_sums.of_windows(JOINT, (one, other)), days, JOINT.edges
            ),
        ]
    )


NOISE = np.random.default_rng(5).normal(size=24 * 8)
STREAMS = [
    pytest.param(np.empty(0), id="empty"),
    pytest.param(NOISE, id="ordinary"),
    pytest.param(np.full(80, 3.0), id="constant"),
    pytest.param(np.full(80, math.nan), id="missing"),
    pytest.param(np.where(np.arange(192) % 5, NOISE, math.nan), id="gaps"),
    pytest.param(NOISE * 1e-120, id="tiny"),
    pytest.param(NOISE * 1e140, id="huge"),
    pytest.param(np.where(np.arange(192) % 7, NOISE, math.inf), id="infinite"),
    pytest.param(np.random.default_rng(6).permutation(NOISE), id="permuted"),
]


@pytest.mark.parametrize("values", STREAMS)
def test_every_figure_is_finite_whatever_comes(values: Floats) -> None:
    found = every_sum(*some_rows(values))
    assert found.counts.shape[1] == len(EVERY.columns) == len({*EVERY.columns})
    assert np.isfinite(found.moments[..., :MIN]).all()
    some = found.moments[..., N] > 0
    assert np.isfinite(found.moments[some]).all()
    assert (found.counts.sum(axis=-1) == found.moments[..., N]).all()
    assert (found.moments[some][:, MIN] <= found.moments[some][:, MAX]).all()


@pytest.mark.parametrize("values", STREAMS)
def test_parts_in_any_order_add_up_to_the_whole_to_the_bit(values: Floats) -> None:
    rows, days, phase = some_rows(values)
    whole = every_sum(rows, days, phase)
    order = np.random.default_rng(1).permutation(len(rows))
    parts = [
        every_sum(rows[some], days[some], phase[some])
        for some in np.array_split(order, min(4, max(len(rows), 1)))
    ]
    merged = merge(*parts)
    assert (merged.chunks == whole.chunks).all()
    assert (merged.moments[..., : SUM + 1] == whole.moments[..., : SUM + 1]).all()
    assert (merged.moments[..., MIN:] == whole.moments[..., MIN:]).all()
    assert (merged.counts == whole.counts).all()
    np.testing.assert_allclose(merged.moments, whole.moments, rtol=1e-12)


@pytest.mark.parametrize("values", STREAMS)
def test_the_sums_survive_being_stored(values: Floats) -> None:
    whole = every_sum(*some_rows(values))
    again = from_bytes(to_bytes(whole))
    assert (again.moments == whole.moments).all()
    assert (again.counts == whole.counts).all()
    if whole.chunks.size:
        days = from_many([to_bytes(each) for each in whole.split()])
        assert (days.moments == whole.moments).all()


def test_the_layout_survives_being_stored() -> None:
    grown = EVERY.up_to(20_000, 9_000.0)
    again = Layout.from_json(json.loads(json.dumps(grown.to_json())))
    assert again == grown
    assert (again.edges.values == grown.edges.values).all()


def test_the_frequencies_of_a_sketch_never_change() -> None:
    # What is stored was made with these: other ones would not add up with it.
    waves = JOINT.frequencies
    assert waves.shape == (16, N_FREQUENCIES)
    assert waves[0, :3].round(9).tolist() == FROZEN
    assert abs(waves.std() * 4 - 1) < 0.1


FROZEN = [-0.172448131, 0.163025163, 0.050165978]


def test_figures_have_the_values_of_their_names() -> None:
    rows = np.array([[1.0, 3.0, 2.0, 2.0]])
    lists = Lists(values=rows.ravel(), lengths=np.array([4]))
    phase = np.array([np.pi / 2])
    [row] = window_profile_sums.of_numbers(NUMBERS, lists, phase)
    figures = dict(zip(NUMBERS.columns, row, strict=True))
    away = rows[0] - 2.0
    assert figures["x: length"] == 2.0
    assert figures["x: step size"] == pytest.approx((2 + 1 + 0) / 3)
    assert figures["x: squared step"] == pytest.approx((4 + 1 + 0) / 3)
    assert figures["x: rise against fall"] == pytest.approx((4 - 1 + 0) / 3)
    assert figures["x: halves"] == pytest.approx(0 - 2)
    assert figures["x: energy"] == pytest.approx((away**2).mean())
    assert figures["x: product 1 steps apart"] == pytest.approx((away[1:] * away[:-1]).mean())
    assert figures["x: product 3 steps apart"] == pytest.approx(away[3] * away[0])
    assert math.isnan(figures["x: product 6 steps apart"])
    assert figures["x: last step"] == away[-1]
    assert figures["x: 2..3 steps before the last"] == away[:2].mean()
    assert figures["x: 2..3 steps before the last by time of day (sin)"] == away[:2].mean()
    assert figures["x: last step by time of day (cos)"] == pytest.approx(0.0)
    assert math.isnan(figures["x: 16 steps before the last and older"])


def test_padding_is_measured_on_each_side_and_is_no_data() -> None:
    short = np.array([[0.0, 0.0, 5.0, 0.0, 6.0, 0.0]])
    bare = np.array([[5.0, 0.0, 6.0]])
    length = np.array([6])
    [padded] = window_profile_sums.of_numbers(
        NUMBERS, Lists(values=short.ravel(), lengths=length), np.zeros(1)
    )
    [plain] = window_profile_sums.of_numbers(
        NUMBERS, Lists(values=bare.ravel(), lengths=length // 2), np.zeros(1)
    )
    assert padded[-2:].tolist() == [2 / 6, 1 / 6]
    assert plain[-2:].tolist() == [0.0, 0.0]
    same = [1, 2, 3, 4]  # sizes of steps and energy do not know of it
    assert padded[same] == pytest.approx(plain[same])
    every = Lists(values=np.zeros(6), lengths=length)
    assert window_profile_sums.of_numbers(NUMBERS, every, np.zeros(1))[0, -2:].tolist() == [
        1.0,
        1.0,
    ]


def test_pairs_never_cross_rows() -> None:
    ragged = np.array([3, 0, 1, 2])
    values = np.array([0.0, 1.0, 2.0, 1.0, 2.0, 0.0])
    days = np.array([4, 4, 4, 5])
    found = window_profile_sums.of_symbols(SYMBOLS, Lists(values=values, lengths=ragged), days)
    tables = found.counts[:, 1:, 1:4]
    assert found.chunks.tolist() == [4 * HOURS, 5 * HOURS]
    assert np.argwhere(tables[0]).tolist() == [[0, 1], [1, 2]]
    assert np.argwhere(tables[1]).tolist() == [[2, 0]]
    assert found.moments[:, 0, [N, N_MISSING]].tolist() == [[2, 1], [1, 0]]


def test_ragged_rows_have_the_figures_of_rows_alone() -> None:
    lengths = np.array([5, 0, 1, 8, 5])
    values = np.random.default_rng(3).normal(size=lengths.sum())
    whole = Lists(values=values, lengths=lengths)
    phase = np.linspace(0, 3, 5)
    together = window_profile_sums.of_numbers(NUMBERS, whole, phase)
    sketch = window_profile_sums.of_windows(JOINT, (whole, whole))
    ends = np.cumsum(lengths)
    for i, (end, length) in enumerate(zip(ends, lengths, strict=True)):
        alone = Lists(values=values[end - length : end], lengths=lengths[i : i + 1])
        [row] = window_profile_sums.of_numbers(NUMBERS, alone, phase[i : i + 1])
        np.testing.assert_allclose(together[i], row)
        np.testing.assert_allclose(
            sketch[i], window_profile_sums.of_windows(JOINT, (alone, alone))[0], atol=1e-12
        )


def test_a_sketch_approximates_the_kernel_of_whole_windows() -> None:
    # The mean over 32 waves of what a kernel is the expectation of.
    names = tuple(f"f{i}" for i in range(3))
    block = Joint(title="t", names=names, centres=(0.0,) * 3, scales=(1.0,) * 3, steps=1)
    rng = np.random.default_rng(8)
    x = rng.normal(size=(200, 3))
    lists = tuple(Lists(values=x[:, i], lengths=np.ones(200, dtype=int)) for i in range(3))
    sketch = window_profile_sums.of_windows(block, lists)
    found = sketch @ sketch.T / N_FREQUENCIES
    apart = ((x[:, None] - x[None]) ** 2).sum(axis=-1)
    error = found - np.exp(-apart / (2 * 3))
    assert np.abs(error).mean() < 1 / math.sqrt(N_FREQUENCIES)
    assert np.abs(error).max() < 4 / math.sqrt(N_FREQUENCIES)


def test_a_still_feature_has_a_scale() -> None:
    assert centre_and_scale([0.0] * 33) == (0.0, 1.0)
    centre, scale = centre_and_scale([0.0] * 32 + [8.0])
    assert (centre, scale) == (0.0, 2.0)


def test_names_of_any_length_fit() -> None:
    long = Symbols(name="n" * 512, texts=("t" * 512, "t" * 511))
    assert len({*long.columns}) == 3
    assert max(len(name.encode()) for name in long.columns) <= 512


def test_figures_have_as_many_bins_as_symbols_need() -> None:
    assert EVERY.edges.values.shape == (len(EVERY.columns), N_EDGES)
    assert len(NUMBERS.columns) == 6 + len(LAGS) + 3 * len(BUCKETS) + 2
