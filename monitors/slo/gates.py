"""Three gates of a tier: the burn, a number of failures, and their significance."""

from fractions import Fraction
from functools import lru_cache

import scipy

ALPHA = 0.05  # one-sided: how often a share at the limit passes the third gate


def burns(bad: int, total: int, limit: Fraction) -> bool:
    """Return whether bad / total exceeds a limit, in whole numbers.

    Floats would round 14.4 times 0.001 to either side.

    Examples
    --------
    >>> limit = Fraction(144, 10) * Fraction(1, 1000)
    >>> burns(144, 10_000, limit), burns(145, 10_000, limit)
    (False, True)
    """
    return bad * limit.denominator > limit.numerator * total


@lru_cache(maxsize=4096)
def fewest(total: int, limit: Fraction, least: int = 1) -> int | None:
    """Return how many bad ones of `total` exceed a limit significantly; None: no number does.

    By the exact lower bound of Clopper and Pearson at 5 %, one-sided.

    Parameters
    ----------
    total
        Events.
    limit
        Share of bad ones, in (0, 1).
    least
        Not fewer than these.

    Examples
    --------
    >>> fewest(100, Fraction(144, 10_000)), fewest(1, Fraction(144, 1000))
    (5, None)
    """
    low, high, share = least, total + 1, float(limit)
    while low < high:
        middle = (low + high) // 2
        if middle > total or is_significant(middle, total, share):
            high = middle
        else:
            low = middle + 1
    return low if low <= total else None


def is_significant(bad: float, total: float, share: float) -> bool:
    """Return whether so many bad ones are rare, given their share in the long run.

    Parameters
    ----------
    bad
        At least 1, at most `total`.
    total
        Events.
    share
        In (0, 1).

    Examples
    --------
    >>> is_significant(4, 100, 0.0144), is_significant(5, 100, 0.0144)
    (False, True)
    """
    # P(X >= bad) of a binomial distribution.
    return float(scipy.special.betainc(bad, total - bad + 1, share)) < ALPHA


def bounds(bad: float, total: float) -> tuple[float, float]:
    """Return the interval of a share at 90 %, by Clopper and Pearson.

    Examples
    --------
    >>> [round(bound, 4) for bound in bounds(5, 100)]
    [0.0199, 0.1023]
    """
    low = float(scipy.special.betaincinv(bad, total - bad + 1, ALPHA)) if bad > 0 else 0.0
    high = 1.0
    if bad < total:
        high = float(scipy.special.betaincinv(bad + 1, total - bad, 1 - ALPHA))
    return low, high
