"""Our distances are those that scipy and Evidently find on the values themselves."""

import importlib
import json
import math
import os
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.spatial.distance import jensenshannon

from monitors.statistics import distances
from monitors.statistics.all_distances import Distances, between
from monitors.statistics.distances import shares, smoothed
from monitors.summaries.summary import Edges, Floats, Summary, freeze, merge
from monitors.summaries.totals import Totals, totals
from monitors.summaries.values import Column, summarise

Draw: TypeAlias = Callable[[np.random.Generator, int], Floats]

# Now and in the reference: what bins find easy, and what they do not.
PAIRS: dict[str, tuple[Draw, Draw]] = {
    "the same": (lambda rng, n: rng.normal(size=n), lambda rng, n: rng.normal(size=n)),
    "shifted": (lambda rng, n: rng.normal(0.5, 1, n), lambda rng, n: rng.normal(size=n)),
    "wider": (lambda rng, n: rng.normal(0, 2, n), lambda rng, n: rng.normal(size=n)),
    "heavy tails": (lambda rng, n: rng.standard_t(2, n), lambda rng, n: rng.standard_t(2, n)),
    "far away": (lambda rng, n: rng.normal(50, 1, n), lambda rng, n: rng.normal(size=n)),
    "inside one bin": (
        lambda rng, n: rng.normal(0, 1e-3, n),
        lambda rng, n: rng.normal(size=n),
    ),
    "two humps": (
        lambda rng, n: rng.normal(size=n) + 4 * rng.choice([-1, 1], n),
        lambda rng, n: rng.normal(size=n),
    ),
}


def column(values: Floats) -> Column:
    return Column(
        values=values,
        chunks=np.arange(values.size) % 50,
        repeats=np.zeros(values.size, dtype=np.bool_),
    )


def summary(edges: Edges, *features: Floats) -> Summary:
    return summarise([column(values) for values in features], edges)


def measured(current: Floats, reference: Floats, edges: Edges | None = None) -> Distances:
    """Fold both samples of one feature, as they come in, and compare."""
    frozen = freeze({"x": reference}) if edges is None else edges
    return between(totals(summary(frozen, current)), totals(summary(frozen, reference)), frozen)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(("n", "m"), [(200, 5_000), (3_000, 3_000), (31, 37)])
def test_on_raw_values_scipy_is_within_the_stated_error(pair: str, n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(5):
        current, reference = PAIRS[pair][0](rng, n), PAIRS[pair][1](rng, m)
        found = measured(current, reference)
        hidden = stats.ks_2samp(current, reference).statistic - found.ks[0]
        assert -1e-12 <= hidden <= found.ks_error[0] + 1e-12
        square = stats.cramervonmises_2samp(current, reference).statistic
        error = found.cramer_von_mises_error[0]
        assert found.cramer_von_mises[0] == pytest.approx(square, abs=error + 1e-9 * (n + m))
        moved = stats.wasserstein_distance(current, reference)
        error = found.wasserstein_error[0]
        assert found.wasserstein[0] == pytest.approx(moved, abs=error + 1e-9 * moved)


def test_with_many_values_the_errors_are_small() -> None:
    """A bound that allows anything would hold too."""
    rng = np.random.default_rng(5)
    current, reference = rng.normal(0.5, 1, 20_000), rng.normal(size=20_000)
    found = measured(current, reference)
    assert found.ks_error[0] < 0.04  # of 0.2
    assert found.ks[0] == pytest.approx(stats.ks_2samp(current, reference)[0], abs=2e-3)
    assert found.wasserstein_error[0] < found.wasserstein[0]
    moved = stats.wasserstein_distance(current, reference)
    assert found.wasserstein[0] == pytest.approx(moved, rel=1e-3)
    square = stats.cramervonmises_2samp(current, reference).statistic
    assert found.cramer_von_mises_error[0] < square
    assert found.cramer_von_mises[0] == pytest.approx(square, rel=5e-3)


@pytest.mark.parametrize("pair", PAIRS)
def test_on_the_same_shares_scipy_gives_the_same_divergences(pair: str) -> None:
    rng = np.random.default_rng(8)
    current, reference = PAIRS[pair][0](rng, 400), PAIRS[pair][1](rng, 4_000)
    edges = freeze({"x": reference})
    now, baseline = (totals(summary(edges, part)).counts for part in (current, reference))
    p, q = (part[0] for part in smoothed(now, baseline))
    found = between(totals(summary(edges, current)), totals(summary(edges, reference)), edges)
    alive = p > 0
    assert found.kl[0] == pytest.approx(stats.entropy(p[alive], q[alive]), rel=1e-9)
    both = stats.entropy(p[alive], q[alive]) + stats.entropy(q[alive], p[alive])
    assert found.psi[0] == pytest.approx(both, rel=1e-9)
    assert math.sqrt(found.js[0]) == pytest.approx(jensenshannon(p, q), rel=1e-6)
    overlap = np.sqrt(p * q).sum()
    assert found.hellinger[0] == pytest.approx(math.sqrt(1 - overlap), rel=1e-6)
    table = np.array([now[0], baseline[0]])
    table = table[:, table.sum(axis=0) > 0]
    wanted = stats.chi2_contingency(table, correction=False).statistic
    assert found.chi_square[0] == pytest.approx(wanted, rel=1e-9)


# Evidently, on values that have a bin each, so that both see the same shares.
LEVELS = 15
UNIT = Edges(names=("x",), values=np.arange(LEVELS + 1.0)[np.newaxis])


@pytest.fixture(scope="module")
def evidently() -> Callable[[str, str], Any]:
    def load(module: str, name: str) -> Any:
        os.environ.setdefault("DO_NOT_TRACK", "1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = f"evidently.legacy.calculations.stattests.{module}"
            return getattr(importlib.import_module(path), name)

    return load


@pytest.fixture(scope="module")
def kind(evidently: Callable[[str, str], Any]) -> Any:
    return evidently("psi", "ColumnType")


def levels(seed: int, n: int, lean: float) -> Floats:
    """Draw whole numbers, each of them often."""
    weights = 1 + lean * np.arange(LEVELS)
    rng = np.random.default_rng(seed)
    return rng.choice(np.arange(float(LEVELS)), n, p=weights / weights.sum())


def series(values: Floats) -> Any:
    return importlib.import_module("pandas").Series(values)


@pytest.fixture(scope="module")
def pair() -> tuple[Floats, Floats]:
    current, reference = levels(1, 12_000, 0.2), levels(2, 15_000, 0.1)
    assert {*current} == {*reference} == {*map(float, range(LEVELS))}
    return current, reference


def test_evidently_finds_the_same_on_the_same_bins(
    evidently: Callable[[str, str], Any], kind: Any, pair: tuple[Floats, Floats]
) -> None:
    """It smooths nothing that is not empty, turns KL around, and takes the root of JS."""
    current, reference = pair
    now, baseline = (totals(summary(UNIT, part)).counts for part in pair)
    p, q = shares(now), shares(baseline)
    theirs = {
        name: evidently(module, name)(series(reference), series(current), kind.Categorical, 1)
        for module, name in (
            ("psi", "_psi"),
            ("kl_div", "_kl_div"),
            ("jensenshannon", "_jensenshannon"),
            ("hellinger_distance", "_hellinger_distance"),
        )
    }
    alive = p[:, 1:-1], q[:, 1:-1]  # nothing lies below 0 and nothing from 15 on
    assert theirs["_psi"][0] == pytest.approx(distances.psi(*alive)[0], rel=1e-9)
    assert theirs["_kl_div"][0] == pytest.approx(distances.kl(*alive[::-1])[0], rel=1e-9)
    root = math.sqrt(distances.js(p, q)[0])
    assert theirs["_jensenshannon"][0] == pytest.approx(root, rel=1e-9)
    found = distances.hellinger(p, q)[0]
    assert theirs["_hellinger_distance"][0] == pytest.approx(found, rel=1e-6)


def test_smoothing_moves_psi_by_little_where_no_bin_is_empty(
    evidently: Callable[[str, str], Any], kind: Any, pair: tuple[Floats, Floats]
) -> None:
    current, reference = pair
    theirs, _ = evidently("psi", "_psi")(
        series(reference), series(current), kind.Categorical, 1
    )
    # Half a count in each of 15 bins moves each share of 12,000 by at most 1 in 1,000.
    assert measured(current, reference, UNIT).psi[0] == pytest.approx(theirs, rel=0.03)


def test_an_empty_bin_is_where_evidently_and_we_differ(
    evidently: Callable[[str, str], Any], kind: Any
) -> None:
    """It puts a share of 1 in 10,000 there, whatever the size of the window."""
    reference = np.repeat([0.0, 1.0], 20)
    current = np.zeros(40)
    theirs, _ = evidently("psi", "_psi")(
        series(reference), series(current), kind.Categorical, 1
    )
    assert theirs == pytest.approx(0.5 * math.log(2) + 0.4999 * math.log(5_000), rel=1e-3)
    p, q = 40.5 / 41, 0.5
    ours = (p - q) * math.log(p / q) + (q - p) * math.log((1 - p) / (1 - q))
    assert measured(current, reference, UNIT).psi[0] == pytest.approx(ours)


def test_evidently_norms_wasserstein_by_the_same_deviation(
    evidently: Callable[[str, str], Any], kind: Any
) -> None:
    rng = np.random.default_rng(3)
    current, reference = rng.normal(3, 2, 4_000), rng.normal(2, 2, 6_000)
    test = evidently("wasserstein_distance_norm", "_wasserstein_distance_norm")
    theirs, _ = test(series(reference), series(current), kind.Numerical, 1)
    found = measured(current, reference)
    error = found.wasserstein_error[0] / reference.std()
    assert found.wasserstein_normed[0] == pytest.approx(theirs, abs=error)
    assert found.wasserstein_normed[0] == pytest.approx(theirs, rel=0.02)


def test_evidently_finds_the_same_gap_between_the_distribution_functions(
    evidently: Callable[[str, str], Any], kind: Any, pair: tuple[Floats, Floats]
) -> None:
    current, reference = pair
    theirs, _ = evidently("ks_stattest", "_ks_stat_test")(
        series(reference), series(current), kind.Numerical, 0.05
    )
    n, m = current.size, reference.size
    found = measured(current, reference, UNIT).ks[0]
    assert found == pytest.approx(stats.ks_2samp(current, reference).statistic, abs=1e-12)
    # More than 10,000 values: it takes the limit distribution.
    assert theirs == pytest.approx(stats.kstwo.sf(found, round(n * m / (n + m))), rel=1e-6)


def test_evidently_finds_the_same_statistic_of_cramer_and_von_mises(
    evidently: Callable[[str, str], Any],
) -> None:
    rng = np.random.default_rng(4)
    current, reference = rng.normal(0.3, 1, 900), rng.normal(size=2_500)
    theirs = evidently("cramer_von_mises_stattest", "_cvm_2samp")(current, reference)
    found = measured(current, reference)
    error = found.cramer_von_mises_error[0]
    assert found.cramer_von_mises[0] == pytest.approx(theirs.statistic, abs=error)


def test_evidently_takes_the_reference_as_known_in_chi_square(
    evidently: Callable[[str, str], Any], kind: Any
) -> None:
    """Its statistic exceeds ours by a factor between 1 and 1 + (n/m) max p/q."""
    current, reference = levels(5, 300, 0.1), levels(6, 30_000, 0.1)
    theirs, _ = evidently("chisquare_stattest", "_chi_stat_test")(
        series(reference), series(current), kind.Categorical, 0.05
    )
    now, baseline = (
        totals(summary(UNIT, part)).counts[:, 1:-1] for part in (current, reference)
    )
    ours = distances.chi_square(now, baseline)[0]
    most = 1 + 300 / 30_000 * (shares(now) / shares(baseline)).max()
    null = stats.chi2(LEVELS - 1)
    assert null.sf(ours * most) <= theirs <= null.sf(ours)
    assert null.sf(ours * most) > 0.9 * null.sf(ours)


COUNTS = arrays(np.float64, (2, 9), elements=st.integers(0, 500).map(float))
SYMMETRIC = ("psi", "js", "hellinger", "ks", "cramer_von_mises", "wasserstein", "chi_square")
EVERY = (*SYMMETRIC, "kl")
GRID = Edges(names=("a", "b"), values=np.array([np.arange(8.0), np.arange(8.0) ** 2]))


def of_counts(current: Floats, reference: Floats) -> Distances:
    """Compare two windows of these counts, with all values inside [-1, 60]."""
    ends = np.full(2, -1.0), np.full(2, 60.0)
    grid = distances.borders(GRID.values, *ends)
    now, baseline = (
        Totals(
            counts=counts,
            low=ends[0],
            high=ends[1],
            mean=(shares(counts) * (grid[:, 1:] + grid[:, :-1]) / 2).sum(axis=1),
            sd=np.ones(2),
        )
        for counts in (current, reference)
    )
    return between(now, baseline, GRID)


@settings(max_examples=60, deadline=None)
@given(COUNTS, COUNTS)
def test_no_distance_is_negative_and_only_an_empty_window_has_none(
    current: Floats, reference: Floats
) -> None:
    found = of_counts(current, reference)
    there = current.any(axis=1) & reference.any(axis=1)
    for name in EVERY:
        values = getattr(found, name)
        assert np.isfinite(values).tolist() == there.tolist(), name
        assert (values[there] >= 0).all(), name
    json.dumps([found.to_json(feature) for feature in range(2)], allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(COUNTS, COUNTS)
def test_only_equal_windows_have_no_distance(current: Floats, reference: Floats) -> None:
    found = of_counts(current, reference)
    same = of_counts(current, current.copy())
    for feature in np.flatnonzero(current.any(axis=1)):
        assert {getattr(same, name)[feature] for name in EVERY} == {0.0}
    there = current.any(axis=1) & reference.any(axis=1)
    equal = np.isclose(shares(current), shares(reference), atol=1e-9).all(axis=1)
    for feature in np.flatnonzero(there & ~equal):
        for name in ("ks", "cramer_von_mises", "wasserstein", "chi_square"):
            assert getattr(found, name)[feature] > 0, name
    soft = smoothed(current, reference)
    apart = ~np.isclose(*soft, atol=1e-6).all(axis=1)
    for feature in np.flatnonzero(there & apart):
        for name in ("psi", "kl", "js", "hellinger"):
            assert getattr(found, name)[feature] > 0, name


@settings(max_examples=60, deadline=None)
@given(COUNTS, COUNTS)
def test_distances_are_the_same_from_both_sides(current: Floats, reference: Floats) -> None:
    there, back = of_counts(current, reference), of_counts(reference, current)
    for name in SYMMETRIC:
        np.testing.assert_allclose(
            getattr(there, name), getattr(back, name), rtol=1e-9, atol=1e-12, err_msg=name
        )


@settings(max_examples=60, deadline=None)
@given(COUNTS, COUNTS, st.integers(1, 8))
def test_wider_bins_never_increase_a_distance_of_shares(
    current: Floats, reference: Floats, at: int
) -> None:
    """Also: a bin that is empty in both windows may be cut anywhere."""

    def joined(counts: Floats) -> Floats:
        return np.insert(
            np.delete(counts, [at - 1, at], axis=1),
            at - 1,
            counts[:, at - 1 : at + 1].sum(1),
            1,
        )

    for measure in (distances.js, distances.hellinger):
        fine = measure(shares(current), shares(reference))
        wide = measure(shares(joined(current)), shares(joined(reference)))
        assert (wide <= fine + 1e-12)[np.isfinite(fine)].all()
    fine = distances.chi_square(current, reference)
    wide = distances.chi_square(joined(current), joined(reference))
    assert (wide <= fine * (1 + 1e-9) + 1e-9)[np.isfinite(fine)].all()
    with_empty = [np.insert(part, at, 0.0, axis=1) for part in (current, reference)]
    for with_it, without in zip(
        smoothed(*with_empty), smoothed(current, reference), strict=True
    ):
        np.testing.assert_allclose(np.delete(with_it, at, axis=1), without)


def test_merged_parts_are_as_far_apart_as_the_whole() -> None:
    rng = np.random.default_rng(9)
    reference, current = rng.normal(size=(2, 3_000)), rng.normal(0.4, 1.2, (2, 900))
    edges = freeze({"a": reference[0], "b": reference[1]})
    whole = between(totals(summary(edges, *current)), totals(summary(edges, *reference)), edges)
    parts = merge(*(summary(edges, *part) for part in np.split(current, 9, axis=1)))
    found = between(totals(parts), totals(summary(edges, *reference)), edges)
    for name in EVERY:
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-12)


def test_first_order_the_divergences_are_one() -> None:
    rng = np.random.default_rng(10)
    reference = rng.normal(size=50_000)
    found = measured(reference[:25_000] + 0.05, reference)
    eighth = found.psi[0] / 8
    assert found.js[0] == pytest.approx(eighth, rel=0.02)
    assert found.hellinger[0] ** 2 == pytest.approx(eighth, rel=0.02)
    assert found.kl[0] / 4 == pytest.approx(eighth, rel=0.05)


def test_a_reference_that_never_moved_has_no_deviation_to_norm_by() -> None:
    edges = Edges(names=("x",), values=np.zeros((1, 33)))
    found = measured(np.ones(50), np.zeros(50), edges)
    assert math.isnan(found.wasserstein_normed[0])
    assert found.wasserstein[0] == 1.0
