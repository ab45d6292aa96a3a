"""Observed false alarm rate, with a confidence interval."""

import math
from dataclasses import dataclass

import scipy

LEVEL = 0.9  # of intervals that people read


@dataclass(frozen=True, slots=True, kw_only=True)
class Achieved:
    """Observed false alarm rate over some days.

    Attributes
    ----------
    n_alarms
        Episodes, not days.
    days
        Event days that were evaluated.
    """

    n_alarms: int
    days: float

    @property
    def days_between(self) -> float:
        """Return the rate that was seen, in days between alarms; infinite where there was none.

        Examples
        --------
        >>> Achieved(n_alarms=4, days=360.0).days_between
        90.0
        """
        return self.days / self.n_alarms if self.n_alarms else math.inf

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return bounds of the rate behind it, in days between alarms.

        Alarms far apart are taken for a Poisson process; the bounds are exact
        for it, and so has at least its nominal coverage [1]_.

        Parameters
        ----------
        level
            With which probability the bounds hold the rate.

        Returns
        -------
        (shortest, longest)
            The longest is infinite where no alarm was seen; both are NaN
            where no day was.

        References
        ----------
        .. [1] F. Garwood, "Fiducial limits for the Poisson distribution",
           Biometrika 28(3/4), 1936, pp. 437-442.

        Examples
        --------
        >>> [round(days, 1) for days in Achieved(n_alarms=4, days=360.0).interval()]
        [39.3, 263.5]
        >>> Achieved(n_alarms=0, days=244.0).interval()[1]
        inf
        """
        if self.days <= 0:
            return math.nan, math.nan
        tail = (1.0 - level) / 2
        most = scipy.special.gammaincinv(self.n_alarms + 1, 1.0 - tail)
        least = scipy.special.gammaincinv(self.n_alarms, tail) if self.n_alarms else 0.0
        return self.days / float(most), self.days / float(least) if least else math.inf
