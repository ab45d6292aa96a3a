"""View `autocorrelation`: correlation by lag."""

import numpy as np

from monitors.statistics.view import Cut, Statistic, View, centred, cut, log_size, stack
from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.summary import Floats

_LAGS = (1, 2, 3, 6)

# Beyond it the arctangent measures rounding rather than the series.
_MOST = 1.0 - 1e-6


def autocorrelation(season: int = HOURS) -> View:
    """Return the view of how values follow each other.

    Parameters
    ----------
    season
        In hours; the last lag.

    Returns
    -------
    View
        Inverse hyperbolic tangent of the correlation at lags of 1, 2, 3 and
        6 hours and a season, and the logarithm of the spread that they are
        relative to. Where nothing moved the correlations are NaN.

    References
    ----------
    .. [1] M. S. Bartlett, "On the theoretical specification and sampling
       properties of autocorrelated time-series", Suppl. J. R. Stat. Soc.
       8(1), 1946, 27-41.
    """
    lags = (*_LAGS, season)

    def statistics(hours: Hourly, window: int, step: int) -> Floats:
        windows = cut(hours.mean, window, step)
        _, away = centred(windows)
        spread = windows.mean(np.abs(away))
        away = away / np.where(spread > 0, spread, 1.0)[..., np.newaxis]
        return stack(*_correlations(windows, away, lags), log_size(spread))

    parts = (
        *(
            Statistic(
                name=f"lag {lag}",
                grain=0.05,
                more=f"higher autocorrelation at lag {lag} h",
                less=f"lower autocorrelation at lag {lag} h",
            )
            for lag in lags
        ),
        Statistic(name="log spread", grain=0.05, more="larger spread", less="smaller spread"),
    )
    return View(name="autocorrelation", parts=parts, before=0, statistics=statistics)


def _correlations(windows: Cut, away: Floats, lags: tuple[int, ...]) -> list[Floats]:
    square = away * away
    complete = bool(windows.there.all())
    found = []
    for lag in lags:
        earlier, later = slice(None, -lag), slice(lag, None)
        product = np.einsum("fwt,fwt->fw", away[..., earlier], away[..., later])
        if complete:
            sizes = square[..., earlier].sum(axis=-1), square[..., later].sum(axis=-1)
        else:
            both = windows.there[..., earlier] & windows.there[..., later]
            sizes = tuple((square[..., part] * both).sum(axis=-1) for part in (earlier, later))
        # By the pairs' own squares: relative to the whole window's, a long
        # lag could exceed 1.
        size = np.sqrt(sizes[0] * sizes[1])
        rho = product / np.where(size > 0, size, np.nan)
        enough = np.where(np.isfinite(windows.n), rho, np.nan)
        found.append(np.arctanh(np.clip(enough, -_MOST, _MOST)))
    return found
