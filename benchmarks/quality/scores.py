"""What is counted: rates with intervals, false alarms per 30 days, delays, AMOC area."""

from collections.abc import Callable

import numpy as np

from monitors.summaries.summary import Bools, Floats

BUDGETS = np.logspace(-1, 1, 41)  # false alarms per 30 days
REFRACTORY = 3  # days; so that always firing is 10 alarms in 30 days
D_MAX = 14.0  # days after which a change is missed


def interval(
    clusters: list[Floats], seed: int, statistic: Callable[[Floats], float] | None = None
) -> tuple[float, float, float]:
    """Return a statistic of all values, and its 95 % bootstrap interval over clusters.

    Parameters
    ----------
    clusters
        Values that depend on each other stay together: a week of all
        sensors, the evaluations of one stream.
    seed
        For the resampling.
    statistic
        The mean when None.
    """
    of = statistic or (lambda values: float(np.mean(values)))
    if not clusters or sum(map(len, clusters)) == 0:
        return float("nan"), float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    draws = [
        of(np.concatenate([clusters[i] for i in rng.integers(0, len(clusters), len(clusters))]))
        for _ in range(400)
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    return of(np.concatenate(clusters)), float(low), float(high)


def count(alarm: Bools, refractory: int = REFRACTORY) -> Floats:
    """Return how many alarms are counted; one silences the next days.

    Parameters
    ----------
    alarm : (..., look)
        One look a day.
    refractory
        Days from one counted alarm to the next at the least.

    Returns
    -------
    (...)

    Examples
    --------
    >>> count(np.array([True] * 7 + [False] * 5 + [True]), 3)
    array(4.)
    """
    n, quiet = np.zeros(alarm.shape[:-1]), np.full(alarm.shape[:-1], refractory)
    for evaluation in range(alarm.shape[-1]):
        rings = alarm[..., evaluation] & (quiet >= refractory)
        n = n + rings
        quiet = np.where(rings, 1, quiet + 1)
    return np.asarray(n)


def per_30_days(alarm: Bools) -> float:
    """Return the rate of counted alarms over all paths, (path, look)."""
    return float(count(alarm).sum() / alarm.size * 30.0)


def delays(alarm: Bools, phase: Floats) -> Floats:
    """Return days from the change to the first alarm; `D_MAX` is a miss.

    Parameters
    ----------
    alarm : (..., path, look)
        The first evaluation is at the end of the day of the change.
    phase : (path,)
        Hour of that day at which the change came.
    """
    first = np.argmax(alarm, axis=-1)
    days = first + 1.0 - phase / 24.0
    return np.where(alarm.any(axis=-1), np.minimum(days, D_MAX), D_MAX)


def thresholds(score: Floats) -> Floats:
    """Return levels to try, from one that nothing exceeds to one that all do."""
    finite = score[np.isfinite(score)]
    inner = np.quantile(finite, 1.0 - np.r_[0.0, np.logspace(-4, 0, 150)])
    return np.unique(np.r_[-np.inf, inner])[::-1]


def operating(quiet: list[Floats]) -> tuple[Floats, Floats]:
    """Return thresholds, highest first, and false alarms per 30 days at each.

    Parameters
    ----------
    quiet
        Per sensor, scores (path, look). One threshold holds for all.
    """
    levels = thresholds(np.concatenate([one.ravel() for one in quiet]))
    n_days = sum(one.size for one in quiet)
    counts = [count(one[None] > levels[:, None, None]).sum(axis=1) for one in quiet]
    return levels, np.sum(counts, axis=0) / n_days * 30.0


def amoc(curve: tuple[Floats, Floats], changed: list[Floats], phases: list[Floats]) -> float:
    """Return the normalised area below delay against false alarms.

    Parameters
    ----------
    curve
        From `operating`.
    changed
        Per sensor, scores (path, look).
    phases
        Per sensor, (path,).

    Returns
    -------
    float
        Mean over budgets of .1 to 10 false alarms per 30 days, evenly spaced
        in the logarithm, of delay over `D_MAX` at the best threshold within
        the budget. 0 finds all at once, 1 nothing ever.

    References
    ----------
    .. [1] T. Fawcett and F. Provost, "Activity monitoring: noticing
       interesting changes in behavior", KDD 1999, pp. 53-62.
    """
    levels, rate = curve
    late = np.concatenate(
        [
            delays(one[None] > levels[:, None, None], phase)
            for one, phase in zip(changed, phases, strict=True)
        ],
        axis=1,
    ).mean(axis=1)
    return float(np.mean([_best(late, rate, budget) for budget in BUDGETS]))


def _best(late: Floats, rate: Floats, budget: float) -> float:
    within = late[rate <= budget]
    return float(within.min() / D_MAX) if within.size else 1.0


def tuned(curve: tuple[Floats, Floats], budget: float) -> float:
    """Return the lowest threshold within a budget of false alarms per 30 days."""
    levels, rate = curve
    within = levels[np.maximum.accumulate(rate) <= budget]
    return float(within[-1]) if within.size else np.inf


def at_size(quiet: Floats, size: float) -> float:
    """Return the threshold that this share of quiet weeks exceeds."""
    return float(np.quantile(quiet, 1.0 - size, method="higher"))
