"""View `arrival`: missing values and silent hours.

Not how many arrive: twice the traffic is no fault. Data quality counts rows.
"""

import numpy as np

from monitors.statistics.view import Statistic, View, angle, cut, slide, stack
from monitors.summaries.hourly import Hourly
from monitors.summaries.summary import Floats

_PARTS = (
    Statistic(name="missing", grain=0.05, more="missing more often", less=None),
    Statistic(
        name="silent hours",
        grain=0.1,
        more="no values for more hours",
        less=None,
    ),
)


def arrival() -> View:
    """Return the view of arrival.

    Returns
    -------
    View
        Share of values that are missing and share of hours without any, as
        angles.
    """
    return View(name="arrival", parts=_PARTS, before=0, statistics=_statistics)


def _statistics(hours: Hourly, window: int, step: int) -> Floats:
    n = cut(hours.mean, window, step).n
    values = slide(hours.n, window, step).sum(axis=-1)
    missing = slide(hours.n_missing, window, step).sum(axis=-1)
    share = missing / np.maximum(values + missing, 1.0)
    enough = np.isfinite(n)
    return stack(
        angle(np.where(enough, share, np.nan)),
        angle(1.0 - n / window),
    )
