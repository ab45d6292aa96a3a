"""Statistics of residuals: bias, spread and autocorrelation by part of the horizon."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.durations import HOUR
from core.schema.contract import Contract
from monitors.baselines.self_reference import over_windows
from monitors.finding import as_json
from monitors.statistics.view import Statistic, log_size, slide
from monitors.summaries.hourly import HOURS
from monitors.summaries.moments import centred_about
from monitors.summaries.summary import Bools, Floats
from tasks import horizon_buckets
from tasks.residual_sums import (
    ABSOLUTE,
    CENTRED,
    EXPECTED,
    SUM,
    N,
)

# Pairs of hours that a correlation is taken over, at least.
_PAIRS = 8
# Beyond it the inverse hyperbolic tangent measures rounding rather than errors.
_MOST = 1.0 - 1e-6

# Statistics of each view. Errors that shrink, or follow each other less, are no fault. What
# is finer than a grain is negligible: a twentieth of a standard deviation of the
# target, a tenth of the scatter of the errors.
VIEWS: Mapping[str, tuple[Statistic, ...]] = {
    "bias": (Statistic(name="bias", grain=0.05, more="too high", less="too low"),),
    "spread": (
        Statistic(name="sd", grain=0.1, more="scatter more widely", less=None),
        Statistic(name="tail", grain=0.1, more="now and then far off", less=None),
    ),
    "memory": (
        Statistic(name="repeats", grain=0.1, more="repeat themselves", less=None),
        Statistic(name="season", grain=0.1, more="repeat each day", less=None),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ErrorDays:
    """The errors of what one version forecast, day after day.

    Attributes
    ----------
    names
        The parts of its targets, from `tasks.horizon_buckets.names`.
    ahead : one per part
        Hours to the last step of each, rounded up.
    first_day
        Since the epoch.
    cells : (day, part of a target, WIDTH)
        From `tasks.residual_sums`; zeros where nothing was forecast.
    """

    names: tuple[str, ...]
    ahead: tuple[int, ...]
    first_day: int
    cells: Floats


def hours_ahead(contract: Contract) -> tuple[int, ...]:
    """Return how far each part of each target reaches, in hours, at least one.

    Examples
    --------
    >>> hours_ahead(Contract.from_json({"features": [{"name": "x"}], "targets": ["x"],
    ...     "step": "PT15M", "input_length": 1, "horizon": 24}))
    (1, 1, 4, 6)
    """
    ahead = [
        math.ceil(part.stop * contract.step / HOUR)
        for part in horizon_buckets.parts(contract.horizon)
    ]
    return tuple(ahead) * len(contract.targets)


def lags(ahead: int) -> tuple[int, int]:
    """Return after how many hours errors are asked whether they come again.

    An error so many steps ahead holds all that happened on the way, and so follows
    the errors of the forecasts made meanwhile, whoever forecasts: only what was
    made after its label shows whether it is learnt from [1]_.

    Parameters
    ----------
    ahead
        In hours.

    Returns
    -------
    int, int
        The first moment at which the error could be known, and the first whole
        number of days from then on.

    References
    ----------
    .. [1] F. X. Diebold and R. S. Mariano, "Comparing predictive accuracy",
       J. Bus. Econ. Stat. 13(3), 1995, pp. 253-263.

    Examples
    --------
    >>> lags(1), lags(24), lags(30)
    ((1, 24), (24, 24), (30, 48))
    """
    return ahead, math.ceil(ahead / HOURS) * HOURS


def measure(days: ErrorDays, window_days: int, min_coverage: float) -> tuple[Floats, ...]:
    """Return what each view sees of the windows of some days.

    Parameters
    ----------
    days
        In order, without a gap.
    window_days
        The length of a window; one ends with each day but the first ones.
    min_coverage
        The share of labels below which a window is not known.

    Returns
    -------
    (window, part of a target, statistic), one per view
        Bias in standard deviations; logarithms of the scatter about it, and of the
        root of the mean square over the mean size; the inverse hyperbolic tangents of two
        autocorrelations, from the mean errors of hours. NaN where that is not
        known.
    """
    totals = over_windows(days.cells, window_days)
    n = totals[..., N].sum(axis=2)
    is_known = (n > 0) & (n >= min_coverage * totals[..., EXPECTED])
    n = np.where(is_known, n, np.nan)
    bias = totals[..., SUM].sum(axis=2) / n
    variance = _centred(days.cells, bias, window_days) / n  # the scatter: a bias is not in it
    sd, square = np.sqrt(variance), variance + bias * bias
    size = totals[..., ABSOLUTE] / n
    tail = np.sqrt(square) / np.maximum(size, np.finfo(float).tiny)
    tail = np.where(size > 0, tail, np.nan)
    memory = np.where(is_known[..., np.newaxis], _memory(days, window_days), np.nan)
    return (
        bias[..., np.newaxis],
        np.stack([log_size(sd), log_size(tail)], axis=-1),
        memory,
    )


def _centred(cells: Floats, bias: Floats, window_days: int) -> Floats:
    """Return the sum of squared deviations from the bias of each window, (window, part)."""
    parts = [cells[..., N].sum(axis=2), cells[..., SUM].sum(axis=2), cells[..., CENTRED]]
    if len(cells) < window_days:
        return bias
    of_days = [
        np.lib.stride_tricks.sliding_window_view(part, window_days, axis=0) for part in parts
    ]
    total: Floats = centred_about(bias[..., np.newaxis], *of_days).sum(axis=-1)
    return total


def _memory(days: ErrorDays, window_days: int) -> Floats:
    """Return how closely the errors of hours follow those before; (window, part, lag)."""
    n_days, n_parts, _ = days.cells.shape
    n = days.cells[..., N].transpose(0, 2, 1).reshape(n_days * HOURS, n_parts)
    total = days.cells[..., SUM].transpose(0, 2, 1).reshape(n_days * HOURS, n_parts)
    there = slide(n > 0, window_days * HOURS, HOURS)
    error = slide(total / np.maximum(n, 1.0), window_days * HOURS, HOURS)
    known = there.sum(axis=-1, keepdims=True)
    away = np.where(there, error - error.sum(axis=-1, keepdims=True) / np.maximum(known, 1), 0)
    found = np.full((there.shape[1], n_parts, 2), np.nan)
    for ahead in {*days.ahead}:
        parts = np.flatnonzero(np.array(days.ahead) == ahead)
        first, season = lags(ahead)
        for place, lag in enumerate((first, season)):
            if place == 1 or first != season:
                found[:, parts, place] = _follow(away[parts], there[parts], lag).T
    return found


def _follow(away: Floats, there: Bools, lag: int) -> Floats:
    """Return the correlation of windows with themselves `lag` hours before, transformed.

    Parameters
    ----------
    away : (part, window, hour)
        Departures from the mean of the window; 0 where nothing is known.
    there : (part, window, hour)
        Whether anything is.
    """
    later, earlier = np.s_[..., lag:], np.s_[..., : max(away.shape[-1] - lag, 0)]
    both = there[later] & there[earlier]
    product = (away[later] * away[earlier]).sum(axis=-1)
    sizes = [(away[part] ** 2 * both).sum(axis=-1) for part in (later, earlier)]
    size = np.sqrt(sizes[0] * sizes[1])
    is_enough = (both.sum(axis=-1) >= _PAIRS) & (size > 0)
    rho = product / np.where(is_enough, size, np.nan)
    turned: Floats = np.arctanh(np.clip(rho, -_MOST, _MOST))
    return turned


def seen_json(values: Sequence[Floats]) -> dict[str, float | None]:
    """Return what the views saw of one part in one window, in units that people read.

    Parameters
    ----------
    values : (statistic,), one per view
        From `measure`; NaN where it is not known.

    Returns
    -------
    dict
        `bias` and `sd`, the scatter about it, in standard deviations of the target; `tail`
        as the root of the mean square over the mean size; `repeats` and `season` as
        correlations.
    """
    (bias,), (sd, tail), (repeats, season) = values
    return {
        "bias": as_json(bias),
        "sd": as_json(np.exp(sd)),
        "tail": as_json(np.exp(tail)),
        "repeats": as_json(np.tanh(repeats)),
        "season": as_json(np.tanh(season)),
    }


def sentence(statistic: str, now: float, baseline: float, ahead: int) -> str:
    """Describe the change of a statistic of errors; follows the name of the forecasts.

    Parameters
    ----------
    statistic
        Of `VIEWS`.
    now, baseline
        As `measure` gives it.
    ahead
        Hours to the last step of the part.

    Examples
    --------
    >>> sentence("bias", 0.4, 0.02, 24)
    'are 0.40 SD too high, baseline +0.02'
    >>> sentence("repeats", 0.5, 0.0, 4)
    'have errors correlated after 4 h (autocorrelation 0.46, baseline 0.00)'
    """
    first, season = lags(ahead)
    match statistic:
        case "bias":
            side = "high" if now > baseline else "low"
            return f"are {abs(now):.2f} SD too {side}, baseline {baseline:+.2f}"
        case "sd":
            return f"scatter {np.exp(now - baseline):.1f} times as widely as in the baseline"
        case "tail":
            return (
                "have outliers (root mean square "
                f"{np.exp(now):.1f} times the mean error, baseline {np.exp(baseline):.1f})"
            )
        case _:
            lag = first if statistic == "repeats" else season
            return (
                f"have errors correlated after {lag} h "
                f"(autocorrelation {np.tanh(now):.2f}, baseline {np.tanh(baseline):.2f})"
            )
