"""Short-term drift: the last minutes or hours of a model whose grain is shorter than an hour.

A window of some grains has a mean and a spread of each input. With three days before, each is
compared with the window of a day before, which takes the course of the day out of it. The
score is how far both lie from the middle of all windows of the days before, of the input that
is farthest.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from core.durations import DAY
from core.window import Window
from monitors.evidence import Evidence, Implicated
from monitors.false_alarms.threshold import Pool, distance, pool
from monitors.finding import in_words
from monitors.summaries.grains import Grains
from monitors.summaries.moments import rounding
from monitors.summaries.summary import Floats

DIFFERENCES_FROM = 2  # days of differences: before, windows are compared as they are
_MAX_NAMED = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortTermDriftParams:
    """Parameters of `short_term_drift`.

    Attributes
    ----------
    grains
        Of one window; they are evaluated one after another, without overlap.
    """

    grains: int = 30

    def __post_init__(self) -> None:
        if not 2 <= self.grains <= 120:
            raise ValueError("grains must be 2 to 120")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShortTermBaseline:
    """Windows of the days before.

    Attributes
    ----------
    first
        The number of the first window since 1970.
    per_day
        How many windows a day has.
    mean, spread : (window, feature)
        The spread is the logarithm of the standard deviation. NaN where no value arrived.
    is_difference
        Windows are compared with those of the day before.
    middle
        Of what is compared.
    null : (window,)
        The score of each window beside those of other days, or of other quarters of the day
        while there are not three; NaN where there was no value.
    """

    names: tuple[str, ...]
    first: int
    per_day: int
    mean: Floats
    spread: Floats
    is_difference: bool
    middle: Pool
    null: Floats

    def a_day_before(self, number: int) -> tuple[Floats, Floats]:
        """Return mean and spread at the same time of the last day that is known."""
        last = self.first + len(self.mean) - 1
        back = -(-max(number - last, 1) // self.per_day) * self.per_day
        at = number - back - self.first
        return self.mean[at], self.spread[at]


def fit(before: Grains, params: ShortTermDriftParams) -> ShortTermBaseline | None:
    """Fit on the days before; None while they are less than a whole day.

    Parameters
    ----------
    before
        Some days, without the grains that are evaluated.
    params
        The length of a window.
    """
    per_day = DAY // (params.grains * before.grain)
    if not before.spans_a_day or per_day < 1:
        return None
    first, mean, spread = windows(before, params.grains)
    rows = np.flatnonzero(np.isfinite(mean).any(axis=1))
    mean, spread = mean[rows[0] :], spread[rows[0] :]
    is_difference = len(mean) >= (DIFFERENCES_FROM + 1) * per_day
    old_mean, old_spread = mean, spread
    if is_difference:
        old_mean, old_spread = (of[per_day:] - of[:-per_day] for of in (mean, spread))
    grain = rounding(np.nanmax(np.abs(mean), axis=0, initial=0.0))
    block = per_day if len(old_mean) >= 3 * per_day else max(per_day // 4, 1)
    null = np.full(len(old_mean), np.nan)
    for start in range(0, len(old_mean), block):
        own = np.zeros(len(old_mean), dtype=np.bool_)
        own[start : start + block] = True
        others = pool(old_mean[~own], old_spread[~own], grain)
        away = distance(old_mean[own], old_spread[own], others)
        null[own] = np.nanmax(away, axis=1, initial=-np.inf)
    return ShortTermBaseline(
        names=before.names,
        first=first + int(rows[0]),
        per_day=per_day,
        mean=mean,
        spread=spread,
        is_difference=is_difference,
        middle=pool(old_mean, old_spread, grain),
        null=np.where(np.isfinite(null), null, np.nan),
    )


def windows(grains: Grains, n_grains: int) -> tuple[int, Floats, Floats]:
    """Return the number of the first whole window, and mean and spread, (window, feature).

    Windows are numbered since 1970, so that those of any two stretches meet.
    """
    width = n_grains * grains.grain
    first = -(-(grains.start - _EPOCH) // width)
    skipped = (_EPOCH + first * width - grains.start) // grains.grain
    n = max(len(grains) - skipped, 0) // n_grains
    part = slice(skipped, skipped + n * n_grains)
    weight, mean, sd = (
        of[part].reshape(n, n_grains, -1)
        for of in (grains.n, np.nan_to_num(grains.mean), np.nan_to_num(grains.sd))
    )
    total = weight.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = (weight * mean).sum(axis=1) / total
        apart = mean - middle[:, np.newaxis]
        variance = (weight * (sd**2 + apart**2)).sum(axis=1) / total
        spread = np.log(np.maximum(np.sqrt(variance), rounding(np.abs(middle))))
    there = total > 0
    return first, np.where(there, middle, np.nan), np.where(there, spread, np.nan)


def evaluate(
    baseline: ShortTermBaseline, recent: Grains, params: ShortTermDriftParams
) -> Evidence:
    """Measure the last window.

    Parameters
    ----------
    baseline
        From `fit`.
    recent
        Ends with the window.
    params
        The length of a window.

    Returns
    -------
    Evidence
        The scores without a change are those of the windows of the baseline.
    """
    first, means, spreads = windows(recent, params.grains)
    mean, spread, middle = means[-1], spreads[-1], baseline.middle
    if baseline.is_difference:
        then = baseline.a_day_before(first + len(means) - 1)
        mean, spread = mean - then[0], spread - then[1]
    away = distance(mean[np.newaxis], spread[np.newaxis], middle)[0]
    order = [int(i) for i in np.argsort(-np.nan_to_num(away, nan=-1.0)) if np.isfinite(away[i])]
    width = params.grains * recent.grain
    effects = (mean - middle.first) / middle.first_spread
    before = "a day before" if baseline.is_difference else "the last days"
    message = f"no value in the window, or {before}"
    if order:
        top = order[0]
        side = "above" if effects[top] > 0 else "below"
        ratio = np.exp(spread[top] - middle.second[top])
        message = (
            f"{baseline.names[top]}: mean {abs(effects[top]):.1f} SD {side}, spread"
            f" {ratio:.2f} times that of {before}, over {in_words(width)}"
        )
    return Evidence(
        score=float(away[order[0]]) if order else float("nan"),
        null=baseline.null,
        window=Window(recent.end - width, recent.end),
        message=message,
        effect=float(effects[order[0]]) if order else None,
        implicated=[
            Implicated(name=baseline.names[i], score=float(away[i]), effect=float(effects[i]))
            for i in order[:_MAX_NAMED]
        ],
        per_day=float(baseline.per_day),
    )
