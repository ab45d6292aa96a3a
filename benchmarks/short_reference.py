"""Power of drift tests of a week with fewer than nineteen weeks of reference.

Run: `python -m benchmarks.short_reference`. Size and power at 5 % of Rao-Scott and of a
bootstrap of whole days, from daily counts, beside tests that know of no memory.
`docs/decisions/0015-short-reference.md` shows a run.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from scipy import stats

from benchmarks.quality import tables
from benchmarks.quality.series import DAY, WEEK, Series, ar1, ett
from monitors.statistics.block_bootstrap import resampled
from monitors.statistics.distances import borders
from monitors.statistics.rao_scott import moved
from monitors.summaries.summary import Floats, freeze

WEEKS = (3, 6, 12, 18)  # of reference
SIZE = 0.05


def asked(x: Floats, n_reference: int, step: float) -> list[float]:
    """Return who calls the last week, and whether the interval of the median holds `step`."""
    before, now = x[:n_reference], x[n_reference:] + step
    edges = freeze({"x": before})
    counts = counted(np.concatenate([before, now]), edges.values[0])
    low, high = np.array([x.min()]), np.array([now.max()])
    days = n_reference // DAY
    own = counts[:, np.newaxis]
    boot = resampled(own[days:], own[:days], borders(edges.values, low, high))
    ps = (
        moved(counts[days:].sum(axis=0), counts[:days]).p,
        float(boot.ks_p[0]),
        float(boot.wasserstein_p[0]),
        float(boot.median_p[0]),
        float(stats.ks_2samp(now, before).pvalue),
    )
    return [*(float(p < SIZE) for p in ps), float(boot.low[0] <= step <= boot.high[0])]


def counted(values: Floats, edges: Floats) -> Floats:
    """Return the values of each day per bin, (day, bin), an hour a value."""
    n_bins = edges.size + 1
    bins = np.searchsorted(edges, values, side="right").reshape(-1, DAY)
    return np.array([np.bincount(day, minlength=n_bins) for day in bins], dtype=float)


ASKED = ("Rao-Scott", "KS, days", "W1, days", "median, days", "KS, i.i.d.", "interval holds")

JOINTLY = ("Rao-Scott, Bonferroni", "W1, days, joint", "Rao-Scott names it", "W1 names it")


def noise(phi: float, n_weeks: int, n: int, seed: int) -> Iterator[Floats]:
    """Yield noise with a daily cycle of its own size, in deviations of the whole."""
    hour = np.arange((n_weeks + 1) * WEEK)
    cycle = np.sqrt(2) * np.sin(2 * np.pi * hour / DAY)
    made = ar1(phi, hour.size, n, seed).values
    for stream in made.T:
        yield (stream + cycle) / np.sqrt(2)


def stretches(series: Series, n_weeks: int) -> Iterator[Floats]:
    """Yield each week of each sensor behind its reference, in deviations of the reference."""
    for sensor in range(series.values.shape[1]):
        for week in range(n_weeks, series.n_weeks):
            part = series.values[(week - n_weeks) * WEEK : (week + 1) * WEEK, sensor]
            spread = part[:-WEEK].std()
            if spread > 0:
                yield (part - part[:-WEEK].mean()) / spread


def row(name: str, streams: list[Floats], n_weeks: int, step: float) -> list[str]:
    found = np.array([asked(x, n_weeks * WEEK, step) for x in streams]).mean(axis=0)
    return [
        name,
        str(n_weeks),
        f"{step:g}",
        *(f"{share:.3f}"[0 if share == 1 else 1 :] for share in found),
    ]


def together(x: Floats, n_reference: int, moved_by: float, sensor: int) -> list[float]:
    """Return who calls the last week of all sensors at once, and names the right one first."""
    x = x.copy()
    x[n_reference:, sensor] += moved_by
    names = [str(i) for i in range(x.shape[1])]
    edges = freeze({name: x[:n_reference, i] for i, name in enumerate(names)})
    counts = np.stack([counted(x[:, i], edges.values[i]) for i in range(x.shape[1])], axis=1)
    now, then = counts[n_reference // DAY :], counts[: n_reference // DAY]
    boot = resampled(now, then, borders(edges.values, x.min(axis=0), x.max(axis=0)))
    ps = [moved(now[:, i].sum(axis=0), then[:, i]).p for i in range(x.shape[1])]
    first = (int(np.nanargmin(ps)) == sensor, boot.top == sensor)
    return [float(np.nanmin(ps) * len(ps) < SIZE), float(boot.p < SIZE), *map(float, first)]


def joint_row(name: str, series: Series, n_weeks: int, step: float) -> list[str]:
    """Ask all weeks of a series; one sensor at a time moves by `step` deviations."""
    found = []
    for week in range(n_weeks, series.n_weeks):
        part = series.values[(week - n_weeks) * WEEK : (week + 1) * WEEK]
        spread = part[:-WEEK].std(axis=0)
        part = (part - part[:-WEEK].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        found.append(together(part, n_weeks * WEEK, step, week % part.shape[1]))
    calls = [f"{share:.3f}"[0 if share == 1 else 1 :] for share in np.mean(found, axis=0)]
    return [name, str(n_weeks), f"{step:g}", *(calls if step else [*calls[:2], "", ""])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=400)
    parser.add_argument("--phis", type=float, nargs="+", default=[0.0, 0.5, 0.9])
    parser.add_argument("--series", nargs="*", default=["ETTh1", "ETTh2"])
    parser.add_argument("--seed", type=int, default=15)
    given = parser.parse_args()
    rows = []
    for n_weeks in WEEKS:
        for phi in given.phis:
            made = [*noise(phi, n_weeks, given.streams, given.seed)]
            rows += [row(f"AR(1) {phi:g} and a day", made, n_weeks, s) for s in (0.0, 0.5)]
        for name in given.series:
            cut = [*stretches(ett(name), n_weeks)]
            rows += [row(name, cut, n_weeks, step) for step in (0.0, 1.0)]
    print(tables.table(["", "weeks", "moved by", *ASKED], rows))
    rows = []
    for n_weeks in WEEKS:
        of = [ar1(phi, 200 * WEEK, 7, given.seed + 1) for phi in given.phis]
        for series in (*of, *(ett(name) for name in given.series)):
            rows += [joint_row(series.name, series, n_weeks, step) for step in (0.0, 1.0)]
    print()
    print(tables.table(["all sensors", "weeks", "one by", *JOINTLY], rows))


if __name__ == "__main__":
    main()
