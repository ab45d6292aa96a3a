import numpy as np
import pytest

from core.durations import DAY
from monitors.drift.input_drift import evaluate
from monitors.drift.input_drift_baseline import InputDriftBaseline, InputDriftParams, fit
from monitors.statistics.all_distances import between
from monitors.summaries.bin_resolution import coarsest
from monitors.summaries.hourly import hourly
from monitors.summaries.summary import Edges, Floats, Summary, chunk_at, freeze
from monitors.summaries.totals import totals
from monitors.summaries.values import Column, summarise
from tests.monitors.streams import START, ar1, day

N_DAYS, CHANGED = 120, 113
HOUR = np.arange(N_DAYS * 24)


def stream() -> Floats:
    """A day that rises and falls; at last its upper half spreads, at the same mean."""
    values: Floats = 3 * np.sin(2 * np.pi * (HOUR - 9) / 24) + 0.3 * ar1(0.5, (HOUR.size,), 3)
    late = (HOUR >= CHANGED * 24) & (values > 0)
    values[late] += np.where(np.arange(late.sum()) % 2, 1.2, -1.2)
    return values


def nights() -> Floats:
    """The first 1,000 values, had they come from five hours of one night."""
    return -3 + 0.3 * np.random.default_rng(5).normal(size=1000)


def summed(values: Floats, edges: Edges) -> Summary:
    never = np.zeros(values.size, dtype=np.bool_)
    hours = chunk_at(START) + HOUR
    return summarise([Column(values=values, chunks=hours, repeats=never)], edges)


def parts(summary: Summary) -> tuple[Summary, Summary]:
    first = chunk_at(START)
    middle = first + CHANGED * 24
    return summary.select(middle, first + N_DAYS * 24), summary.select(first, middle)


def test_edges_of_one_night_blunt_distances_and_leave_scores_alone() -> None:
    values, ks, scores = stream(), [], []
    for source in (values[: CHANGED * 24], nights()):
        edges = freeze({"x": source})
        summary = summed(values, edges)
        now, before = parts(summary)
        ks.append(float(between(totals(now), totals(before), edges).ks[0]))
        hours = hourly(summary, ("x",), START, day(N_DAYS))
        params = InputDriftParams(window=5 * DAY, season=DAY)
        learnt = fit(hours.until(chunk_at(day(CHANGED)), CHANGED * 24), params)
        assert isinstance(learnt, InputDriftBaseline)
        scores.append(evaluate(learnt, hours, day(N_DAYS)).value)
    assert ks[0] > 0.1 > 2 * ks[1]
    assert scores[0] == scores[1]


def test_edges_of_one_night_are_reported_and_those_of_the_reference_are_not() -> None:
    values = stream()
    fine, blunt = (freeze({"x": source}) for source in (values, nights()))
    assert coarsest(totals(summed(values, fine)).counts, fine) is None
    worst = coarsest(totals(summed(values, blunt)).counts, blunt)
    assert worst is not None
    assert (worst.feature, worst.n_bins) == ("x", 34)
    assert worst.share > 0.7


LINE = np.arange(33.0)
FULL = np.r_[np.zeros(33), 1000.0]


@pytest.mark.parametrize(
    ("edges", "counts"),
    [
        pytest.param(np.sort(LINE % 2), FULL, id="values that recur fill few bins"),
        pytest.param(LINE, FULL / 3, id="few values"),
        pytest.param(LINE, np.zeros(34), id="nor of none"),
    ],
)
def test_nothing_is_reported(edges: Floats, counts: Floats) -> None:
    assert coarsest(counts[np.newaxis], Edges(names=("x",), values=edges[np.newaxis])) is None


def test_the_worst_of_several_is_named() -> None:
    counts = np.stack([np.full(34, 50.0), FULL, FULL * np.linspace(0.5, 1, 34) + 10.0])
    edges = Edges(names=("a", "b", "c"), values=np.tile(LINE, (3, 1)))
    worst = coarsest(counts, edges)
    assert worst is not None
    assert worst.feature == "b"
