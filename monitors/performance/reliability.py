"""Reliability diagram of a class: bins, bias and calibration error from its sums."""

from dataclasses import dataclass

import numpy as np

from monitors.summaries.summary import Floats
from tasks.calibration_sums import BINS, OBSERVED, PREDICTED, N


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Claims of a class between two probabilities.

    Attributes
    ----------
    low, high
        Those two.
    n
        Claims with a label.
    predicted, observed
        The mean of both; None where there is no claim.
    """

    low: float
    high: float
    n: int
    predicted: float | None
    observed: float | None


def table(total: Floats) -> tuple[Bin, ...]:
    """Return the reliability table of one class.

    Parameters
    ----------
    total : (WIDTH,)
        From `tasks.calibration_sums`.

    Examples
    --------
    >>> from tasks.calibration_sums import sums
    >>> p, y = np.array([0.75, 0.75, 0.2]), np.array([1.0, 0.0, 0.0])
    >>> [(b.low, b.n, b.predicted, b.observed) for b in table(sums(
    ...     p[:, None, None], y[:, None, None])[0]) if b.n]
    [(0.2, 1, 0.2, 0.0), (0.7, 2, 0.75, 0.5)]
    """
    return tuple(
        Bin(
            low=i / BINS,
            high=(i + 1) / BINS,
            n=int(n),
            predicted=float(predicted / n) if n else None,
            observed=float(observed / n) if n else None,
        )
        for i, (n, predicted, observed) in enumerate(
            zip(total[N], total[PREDICTED], total[OBSERVED], strict=True)
        )
    )


def squared_error(totals: Floats) -> Floats:
    """Return the mean square of how far claims are from what happened, less chance's share.

    Also of a calibrated classifier, the frequency in a bin is off by chance,
    and the square of it adds up: from few labels the naive mean finds an error where there
    is none. What chance adds is estimated from the labels of the bin and taken off [1]_.

    Parameters
    ----------
    totals : (..., WIDTH)
        From `tasks.calibration_sums`, added up as you like.

    Returns
    -------
    (...)
        Below 0 where chance made it better than it can be. Bins of one label
        have no variance and are left out; NaN where there is no other. Labels of one day
        that depend on each other are worth fewer: then too little is taken off.

    References
    ----------
    .. [1] A. Kumar, P. Liang and T. Ma, "Verified Uncertainty Calibration", NeurIPS 2019.

    Examples
    --------
    >>> from tasks.calibration_sums import sums
    >>> p, y = np.full((4, 1, 1), 0.75), np.array([1.0, 1.0, 1.0, 0.0]).reshape(4, 1, 1)
    >>> squared_error(sums(p, y))
    array([-0.0625])
    """
    n = totals[..., N]
    is_counted = n >= 2
    n_counted = np.where(is_counted, n, 0.0)
    predicted, observed = (
        totals[..., part] / np.maximum(n, 1.0) for part in (PREDICTED, OBSERVED)
    )
    by_chance = observed * (1.0 - observed) / np.maximum(n - 1.0, 1.0)
    whole = n_counted.sum(axis=-1)
    square = (n_counted * ((observed - predicted) ** 2 - by_chance)).sum(axis=-1)
    found: Floats = square / np.where(whole > 0, whole, np.nan)
    return found


def overall(totals: Floats) -> tuple[Floats, Floats]:
    """Return the mean claim, and how often it happened; each (...), NaN without a label."""
    n = totals[..., N].sum(axis=-1)
    n = np.where(n > 0, n, np.nan)
    return totals[..., PREDICTED].sum(axis=-1) / n, totals[..., OBSERVED].sum(axis=-1) / n


def sureness(totals: Floats) -> Floats:
    """Return how much farther apart claims lie than what happens then.

    Parameters
    ----------
    totals : (..., WIDTH)
        From `tasks.calibration_sums`.

    Returns
    -------
    (...)
        In probability, where the claim is one standard deviation above the mean
        claim: above 0 high claims are too high and low ones too low, whatever the
        bias. 0 where all claims are alike; NaN without a label.

    Examples
    --------
    >>> from tasks.calibration_sums import sums
    >>> p = np.repeat([0.05, 0.95], 10).reshape(-1, 1, 1)
    >>> y = np.tile([0.0, 1.0], [1, 10]).reshape(-1, 1, 1)  # as good as a coin
    >>> sureness(sums(p, y)).round(2)
    array([0.45])
    """
    n = totals[..., N]
    mean_probability, mean_label = (of[..., np.newaxis] for of in overall(totals))
    some = np.maximum(n, 1.0)
    claim = totals[..., PREDICTED] / some - mean_probability
    label = totals[..., OBSERVED] / some - mean_label
    whole = n.sum(axis=-1)
    whole = np.where(whole > 0, whole, np.nan)
    together = (n * claim * (claim - label)).sum(axis=-1) / whole
    size = np.sqrt((n * claim * claim).sum(axis=-1) / whole)
    # Claims as alike as rounding leaves them have no slope.
    found: Floats = np.where(size > 1e-6, together / np.maximum(size, 1e-6), 0.0 * whole)
    return found
