"""Many features, some of which changed: which are named, and how many of those wrongly?

Run: `python -m benchmarks.which_moved`. The threshold over the largest score beside
e-values for each feature under e-BH, at the same promised rate of false alarms.
`docs/decisions/0016-implicated-features.md` shows a run.
"""

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.quality import tables
from benchmarks.quality.ours import grid
from benchmarks.quality.series import CONTEXT, DAY, WEEK, ar1, ett
from monitors.false_alarms.threshold import fit_threshold
from monitors.statistics.false_discovery_rate import WRONG_SHARE, moved
from monitors.statistics.max_statistic import largest
from monitors.statistics.robust_distance import distances, robust_baseline
from monitors.summaries.summary import Bools, Floats
from monitors.temporal import panel

N_FEATURES = 20
REFERENCE_WEEKS, LIVE_WEEKS = 60, 20
PROMISED = 90.0
QS = (0.1, 0.2)
SHARED = 0.5  # of each sensor's variance

Change = Callable[[Floats, np.random.Generator], Floats]
CHANGES: dict[str, Change] = {
    "noise": lambda x, rng: x + rng.normal(0.0, 0.25 * x.std(), x.shape),
    "hold": lambda x, rng: x[np.arange(len(x)) // 2 * 2],
    "shuffle": lambda x, rng: x.reshape(-1, 6)[rng.permutation(len(x) // 6)].ravel(),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learnt:
    """Null distribution of scores on a reference.

    Attributes
    ----------
    baseline
        Of the product's panel.
    away : (evaluation, feature, view)
        Of each half of the reference against the other, each ascending over evaluations.
    largest : (evaluation, feature)
        Of scores over views, ascending over evaluations.
    limit
        What the e-BH statistic may reach once in the promised days.
    """

    baseline: panel.TemporalPatternBaseline
    away: Floats
    largest: Floats
    limit: float

    def e_values(self, away: Floats) -> Floats:
        """Return an e-value for each (evaluation, feature): the mean over its views."""
        p = _ranks(away, self.away)
        e: Floats = (0.5 * p**-0.5).mean(axis=2)
        return e


def _ranks(scores: Floats, ascending: Floats) -> Floats:
    """Return conformal p-values: the share of the reference that lies as far."""
    n = len(ascending)
    flat, known = scores.reshape(len(scores), -1), ascending.reshape(n, -1)
    at = [np.searchsorted(known[:, i], flat[:, i], side="left") for i in range(flat.shape[1])]
    p: Floats = (1 + n - np.stack(at, axis=1)) / (n + 1)
    return p.reshape(scores.shape)


def ebh(e: Floats, wanted: float) -> Bools:
    """Name features by e-BH: the k largest, k the most with `k e_(k) / K >= wanted`."""
    n = e.shape[1]
    order = np.sort(e, axis=1)[:, ::-1]
    held = order * np.arange(1, n + 1) / n >= wanted
    k = np.where(held.any(axis=1), n - np.argmax(held[:, ::-1], axis=1), 0)
    least = np.where(
        k > 0, np.take_along_axis(order, np.maximum(k - 1, 0)[:, None], 1)[:, 0], np.inf
    )
    return np.asarray(e >= least[:, None])


def bh(p: Floats, q: float) -> Bools:
    """Name features by Benjamini-Hochberg."""
    return ebh(1 / p, 1 / q)


def learn(history: Floats) -> Learnt:
    baseline = panel.fit(
        grid(history), panel.TemporalPatternParams(days_between_false_alarms=PROMISED)
    )
    assert isinstance(baseline, panel.TemporalPatternBaseline)
    views = panel.panel_views()
    seen = panel.measure(grid(history), views, WEEK, DAY)
    n = len(seen[0])
    parts = []
    for start, end in itertools.pairwise((0, n // 2, n)):
        others = np.r_[0 : max(start - 7, 0), min(end + 7, n) : n]
        own = tuple(
            robust_baseline(one[others], view.parts)
            for one, view in zip(seen, views, strict=True)
        )
        parts.append(distances([one[start:end] for one in seen], own))
    away = np.concatenate(parts)
    scores = largest(away / baseline.scale, axis=2)
    known = Learnt(
        baseline=baseline,
        away=np.sort(away, axis=0),
        largest=np.sort(scores, axis=0),
        limit=0.0,
    )
    e = known.e_values(away)
    evidence = (np.sort(e, axis=1)[:, ::-1] * np.arange(1, e.shape[1] + 1) / e.shape[1]).max(
        axis=1
    )
    limit = fit_threshold(evidence, PROMISED, 7).value
    return Learnt(baseline=baseline, away=known.away, largest=known.largest, limit=limit)


def named(known: Learnt, scores: Floats) -> dict[str, Bools]:
    """Return who names which features of evaluations, (evaluation, feature)."""
    threshold = known.baseline.alarm_threshold.value
    top = largest(scores, axis=2)
    p = _ranks(top, known.largest)
    e = known.e_values(scores * known.baseline.scale)
    called = top.max(axis=1) > threshold
    out = {
        "the largest score": (top == top.max(axis=1, keepdims=True)) & called[:, None],
        "scores above the threshold": top > threshold,
    }
    for q in QS:
        out[f"e-BH, {q:g}"] = ebh(e, 1 / q)
    out[f"BH {WRONG_SHARE:g}"] = bh(p, WRONG_SHARE)
    limit = known.baseline.alarm_threshold.value
    own = np.stack([moved(one, known.baseline.evaluations, limit) for one in top])
    out["the product, on a call"] = own & called[:, None]
    out["e-BH, promised"] = ebh(e, np.nextafter(known.limit, np.inf))
    return out


def plants(n_streams: int, seed: int) -> list[Floats]:
    """Make sensors that share half of their variance, and a day."""
    n = (REFERENCE_WEEKS + LIVE_WEEKS + 4) * WEEK
    cycle = np.sin(2 * np.pi * np.arange(n) / DAY)[:, None]
    made = []
    for i in range(n_streams):
        own = ar1(0.8, n, N_FEATURES, seed + 10 * i).values
        shared = ar1(0.9, n, 1, seed + 10 * i + 1).values
        made.append(np.sqrt(1 - SHARED) * own + np.sqrt(SHARED) * shared + cycle)
    return made


def evaluated_at(known: Learnt, stretch: Floats) -> Floats:
    """Return the scores of the last evaluation of a stretch of five weeks."""
    last: Floats = panel.evaluate_days(known.baseline, grid(stretch)).scores[-1]
    return last


def over(
    streams: list[Floats], changes: list[str], ks: tuple[int, ...], seed: int, *, is_real: bool
) -> list[list[str]]:
    """Change `k` sensors of each live week; count who is named.

    A week of a real series that is called unchanged is counted as such and not changed:
    nobody knows what is wrong with it. Of simulated ones all weeks are changed.
    """
    rng = np.random.default_rng(seed)
    tally: dict[tuple[str, int, str], list[tuple[float, float, float]]] = {}
    for values in streams:
        known = learn(values[: REFERENCE_WEEKS * WEEK])
        for week in range((len(values) - CONTEXT) // WEEK - REFERENCE_WEEKS):
            start = (REFERENCE_WEEKS + week) * WEEK
            quiet = values[start : start + CONTEXT + WEEK]
            for name, k in [("nothing", 0), *itertools.product(changes, ks)]:
                stretch, changed = quiet.copy(), rng.permutation(values.shape[1])[:k]
                for sensor in changed:
                    stretch[CONTEXT:, sensor] = CHANGES[name](quiet[CONTEXT:, sensor], rng)
                truly = np.isin(np.arange(values.shape[1]), changed)
                message = named(known, evaluated_at(known, stretch)[None])
                for who, found in message.items():
                    n_named, n_right = int(found.sum()), int((found[0] & truly).sum())
                    tally.setdefault((name, k, who), []).append(
                        (float(n_named > 0), n_right, (n_named - n_right) / max(n_named, 1))
                    )
                if is_real and k == 0 and message["the largest score"].any():
                    break
    rows = []
    for (name, k, who), weeks in tally.items():
        share = np.array(weeks).mean(axis=0)
        rows.append([name, str(k), str(len(weeks)), who, *(f"{each:.3f}" for each in share)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--changes", nargs="+", default=[*CHANGES], choices=[*CHANGES])
    given = parser.parse_args()
    titles = [
        "changed",
        "sensors",
        "weeks",
        "who names",
        "calls",
        "right names",
        "wrong among them",
    ]
    rows = over(
        plants(given.streams, given.seed), given.changes, (1, 3, 10), given.seed, is_real=False
    )
    print(f"{N_FEATURES} sensors\n\n{tables.table(titles, rows)}\n")
    both = np.hstack([ett("ETTh1").values, ett("ETTh2").values])
    rows = over([both], given.changes, (1, 3, 7), given.seed, is_real=True)
    print(f"ETTh1 and ETTh2, {both.shape[1]} sensors\n\n{tables.table(titles, rows)}")


if __name__ == "__main__":
    main()
