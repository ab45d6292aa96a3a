"""Warm-up: the reference is too short to evaluate a window."""

from dataclasses import dataclass

import numpy as np

from monitors.summaries.summary import Bools

# Windows needed for a decision at 5 %: the smallest p is 1 / (19 + 1).
MIN_WINDOWS = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmingUp:
    """The reference holds `n_windows` windows of `window_days`, and 19 are needed.

    Examples
    --------
    >>> str(WarmingUp(n_windows=12, window_days=7))
    'warming up: 12 of 19 windows of 7 days'
    """

    n_windows: int
    window_days: int

    def __str__(self) -> str:
        days = "1 day" if self.window_days == 1 else f"{self.window_days} days"
        return f"warming up: {self.n_windows} of {MIN_WINDOWS} windows of {days}"


def with_reference(known: Bools, window_days: int) -> list[int]:
    """Return the places of the features that the reference holds 19 windows of.

    The others are not evaluated, and take no part in what is learnt of these.

    Parameters
    ----------
    known : (evaluation, feature)
        Whether the window that ends with each day of the reference is known.
    window_days
        Length of a window.

    Examples
    --------
    >>> known = np.ones((40, 2), dtype=bool)
    >>> known[:30, 1] = False
    >>> with_reference(known, window_days=2)
    [0]
    """
    enough = known.sum(axis=0) // window_days >= MIN_WINDOWS
    return np.flatnonzero(enough).tolist()
