"""Budgeting methods: events, time slices and their share; the worked example of OpenSLO."""

from typing import Any

import numpy as np
import pytest

from core.durations import DAY, MINUTE
from monitors.slo import cells, sli
from monitors.slo.burn_rate import evaluate
from monitors.slo.cells import SLICE, Columns, Texts
from monitors.slo.history import of_slices
from monitors.slo.objective import BurnRateParams, Method
from monitors.slo.reading import budgeted
from monitors.slo.serving import CELLS
from tests.monitors.slo_readings import NOW, history, reading


def attacked(n_days: int, hours: float, method: str) -> Any:
    """14 days of 24,000 requests a day at 99 %, of which some hours at 1 % good."""
    n = n_days * DAY // MINUTE * 6
    total = np.zeros(n, dtype=np.int64)
    total[::6] = 10_000  # 24,000 a day are 16 2/3 a minute: 600 times that
    bad = total // 100
    n_bad = round(hours * 3600 / 10)
    bad[len(bad) - n_bad :] = total[len(bad) - n_bad :] * 99 // 100
    params = BurnRateParams(
        objective=0.95, period=14 * DAY, method=Method(method), slice_target=0.95
    )
    of = reading(history(total - bad, bad))
    if params.method is not Method.OCCURRENCES:
        slices = of.total.ends[1:] - 1
        counts = np.diff(of.total.sums, axis=0)
        of = reading(of_slices(*budgeted(slices, counts, params.method, MINUTE, 0.95)))
    return evaluate(of, params, NOW).detail


@pytest.mark.parametrize(
    ("method", "hours"),
    [
        pytest.param("time_slices", 16.8, id="16 h 48 min by time slices"),
        pytest.param("ratio_time_slices", 822.857 / 60, id="13 h 42 min 51 s by their share"),
    ],
)
def test_the_worked_example_of_openslo(method: str, hours: float) -> None:
    """By our numbers: the page has 'about 13 h 45', and leaves out the baseline of events."""
    minute = 1 / 60
    assert attacked(14, hours - 1.5 * minute, method).consumed < 1
    assert attacked(14, hours + 1.5 * minute, method).consumed > 1


def test_occurrences_of_the_worked_example_are_exhausted_after_14298_requests() -> None:
    """Of an attack of 1 % good; the page's 16,632 leave out baseline and denominator."""
    base, bad_base = 14 * 24_000, 14 * 240

    def consumed(n: float) -> float:
        return (bad_base + 0.99 * n) / (0.05 * (base + n))

    assert consumed(14_297) < 1 < consumed(14_299)
    assert pytest.approx(14_154.9, abs=0.1) == 0.99 * 14_297.87


def test_a_sum_of_counts_is_not_a_mean_of_ratios() -> None:
    """At night, with a twentieth of the traffic, 5 % failures are not 15 times as bad."""
    n = 30 * DAY // SLICE
    hour = np.arange(n) * 10 // 3600 % 24
    total = np.where(hour < 12, 50, 1000)
    bad = np.where((np.arange(n) >= n - 8640) & (hour < 12), total // 20, 0)
    found = evaluate(reading(history(total - bad, bad)), BurnRateParams(objective=0.99), NOW)
    consumed = found.detail.to_json()["consumed"]
    assert consumed == pytest.approx(bad.sum() / (0.01 * total.sum()))
    of_ratios = float((bad / total).mean() / 0.01)
    assert of_ratios / consumed > 9


@pytest.mark.parametrize(
    ("degraded", "counts"),
    [("good", (3, 1, 0)), ("bad", (2, 2, 0)), ("unknown", (2, 1, 1))],
)
def test_what_a_fallback_served_counts_as_declared(
    degraded: str, counts: tuple[int, int, int]
) -> None:
    columns = Columns(
        n=4,
        numbers={"latency_seconds": np.full(4, 0.1)},
        texts={
            "status": Texts(codes=np.array([0, 0, 1, 2]), values=("ok", "error", "degraded"))
        },
    )
    found = cells.summarise(np.arange(4), CELLS.of(columns))
    params = sli.parse("availability", {"degraded": degraded})
    assert sli.find("availability").count(found, params) == counts
