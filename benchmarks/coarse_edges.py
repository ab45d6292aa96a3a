"""What is lost where edges come from the first thousand values of one night?

Run: `python -m benchmarks.coarse_edges`. Twelve weeks of reference, a week on trial.
`docs/decisions/0017-no-sketch.md` shows a run.
"""

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.quality import tables
from benchmarks.quality.series import DAY, WEEK, ar1
from benchmarks.short_reference import counted
from monitors.statistics.block_bootstrap import resampled
from monitors.statistics.distances import borders, ks, shares
from monitors.statistics.rao_scott import moved
from monitors.summaries.summary import Floats, freeze

N_REFERENCE = 12 * WEEK
SIZE = 0.05
HOURS = np.arange(N_REFERENCE + WEEK)
CYCLE = 2 * np.sin(2 * np.pi * (HOURS - 9) / DAY)

CHANGES: dict[str, Callable[[Floats], Floats]] = {
    "nothing": lambda x: x,
    "up by .1": lambda x: x + 0.1,
    "up by .2": lambda x: x + 0.2,
    "highs spread by .6": lambda x: x + np.where(x > 0, 0.6 * (-1.0) ** np.arange(x.size), 0.0),
}


def asked(x: Floats, first: Floats) -> list[float]:
    """Return who calls the last week, the gap that is seen, and how full three bins are."""
    edges = freeze({"x": first})
    days = counted(x, edges.values[0])
    now, then = days[N_REFERENCE // DAY :], days[: N_REFERENCE // DAY]
    around = borders(edges.values, x[None].min(axis=1), x[None].max(axis=1))
    drawn = resampled(now[:, None], then[:, None], around)
    p, q = (shares(each.sum(axis=0)[None]) for each in (now, then))
    return [
        float(moved(now.sum(axis=0), then).p < SIZE),
        float(drawn.ks_p[0] < SIZE),
        float(drawn.wasserstein_p[0] < SIZE),
        float(ks(p, q)[0][0]),
        float(np.sort(q[0])[-3:].sum()),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seed", type=int, default=17)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    found: dict[tuple[str, str], list[list[float]]] = {}
    for noise in ar1(0.5, HOURS.size, given.streams, given.seed).values.T:
        x = 0.3 * noise + CYCLE
        night = np.repeat(CYCLE[:5], 200) + 0.3 * rng.normal(size=1000)
        for name, change in CHANGES.items():
            y = np.concatenate([x[:N_REFERENCE], change(x[N_REFERENCE:])])
            for source, first in (("the reference", x[:N_REFERENCE]), ("a night", night)):
                found.setdefault((name, source), []).append(asked(y, first))
    rows = [
        [name, source, *(f"{each:.3f}" for each in np.mean(some, axis=0))]
        for (name, source), some in found.items()
    ]
    titles = ["week", "edges from", "Rao-Scott", "KS, days", "W1, days", "KS", "in 3 of 34"]
    print(tables.table(titles, rows))


if __name__ == "__main__":
    main()
