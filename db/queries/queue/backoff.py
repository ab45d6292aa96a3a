"""Backoff: the delay before failed work is tried again."""

from datetime import timedelta

FIRST = timedelta(seconds=2)  # wall time; doubles with each failure
LONGEST = timedelta(minutes=1)  # so that work goes on soon after an outage is over
JITTER = 0.2  # share of the delay, either way: many runs do not return in one moment

LONGEST_DELAY = LONGEST * (1 + JITTER)


def delay(n_failures: int, jitter: float = 0.0) -> timedelta:
    """Exponential back-off with a cap and jitter.

    Parameters
    ----------
    n_failures
        Failures in a row, this one included; at least 1.
    jitter
        A draw from [-1, 1], scaled by `JITTER`.

    Returns
    -------
    timedelta
        At most `LONGEST_DELAY`.

    Examples
    --------
    >>> [delay(n).total_seconds() for n in (1, 2, 3, 6, 1000)]
    [2.0, 4.0, 8.0, 60.0, 60.0]
    """
    seconds = FIRST.total_seconds() * 2.0 ** min(n_failures - 1, 10)
    return min(timedelta(seconds=seconds), LONGEST) * (1 + JITTER * jitter)
