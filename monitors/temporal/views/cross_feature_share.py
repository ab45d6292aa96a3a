"""View `cross_feature_share`: share of variation in common with other features."""

import numpy as np

from monitors.statistics.view import Cut, Statistic, View, centred, cut, log_size
from monitors.summaries.hourly import Hourly
from monitors.summaries.summary import Floats

# Added to each feature's variance of 1: with many features in a short window
# all would seem to explain all.
_RIDGE = 0.1

# In mean absolute deviations: farther hours count as this far, or one spike
# that all share would make the whole window count as shared.
_CLIP = 2.0

_PARTS = (
    Statistic(
        name="log own level",
        grain=0.05,
        more="less correlated with the other features",
        less="more correlated with the other features",
    ),
    Statistic(
        name="log own step",
        grain=0.05,
        more="hourly changes less correlated with the other features",
        less="hourly changes more correlated with the other features",
    ),
)


def cross_feature_share() -> View:
    """Return the view of how features move together.

    Returns
    -------
    View
        Logarithm of the share of variance that the other features of the same
        window leave unexplained (ridge regression on standardised hours), for
        the values and for their steps from hour to hour. Missing hours count
        as the mean. A feature alone is always its own: 0.
    """
    return View(name="cross_feature_share", parts=_PARTS, before=1, statistics=_statistics)


def _statistics(hours: Hourly, window: int, step: int) -> Floats:
    level = _own(cut(hours.mean[1:], window, step))
    steps = _own(cut(hours.mean[1:] - hours.mean[:-1], window, step))
    return np.stack([level, steps], axis=-1)


def _own(windows: Cut) -> Floats:
    """Return the logarithm of the unexplained share; (window, feature)."""
    _, away = centred(windows)
    size = windows.mean(np.abs(away))
    unit = np.where(size > 0, size, 1.0)[..., np.newaxis]
    away = np.clip(away / unit, -_CLIP, _CLIP)
    norm = np.sqrt((away * away).sum(axis=-1))
    away = np.nan_to_num(away / np.where(norm > 0, norm, 1.0)[..., np.newaxis])
    away = away.swapaxes(0, 1)  # (window, feature, hour)
    together = away @ away.swapaxes(1, 2)
    n_features = together.shape[-1]
    at = np.arange(n_features)
    together[:, at, at] = 1.0 + _RIDGE
    precision = np.linalg.inv(together)[:, at, at].astype(float)
    own = 1.0 / precision / (1.0 + _RIDGE)
    return np.where(np.isfinite(windows.n.T), log_size(own), np.nan)
