"""Sums of predicted probabilities and labels of one event day, by bin.

Claims of a class are counted in bins of equal width, with how many there were, what was
claimed in all, and how often it happened. All other figures follow from these.
"""

import numpy as np

from core.arrays import Bools, Floats
from tasks import stored_sums

BINS = 10  # of equal width, from 0 to 1
# What arithmetic in single precision makes of a sum of exponentials is a probability still.
_ROUNDED = 1e-6

# The last axis.
EXPECTED = 0  # claims, whatever became of them
N = slice(1, 1 + BINS)  # probabilities with a label, by bin
PREDICTED = slice(N.stop, N.stop + BINS)  # and their sum
OBSERVED = slice(PREDICTED.stop, PREDICTED.stop + BINS)  # and that of the labels
WIDTH = OBSERVED.stop


def sums(predicted: Floats, observed: Floats) -> Floats:
    """Sum up the claims of one day that have a label.

    Parameters
    ----------
    predicted : (prediction, step, target)
        Probabilities. NaN where none was given. One that is outside of 0 to 1 by
        more than rounding is no probability: it is expected, and never counted.
    observed : (prediction, step, target)
        Labels, 0 or 1, or the share of annotators with label 1. NaN where none
        is in; one outside of 0 to 1 is none.

    Returns
    -------
    (target, WIDTH)
        Over all steps. Those of two sets of claims add up to those of both.

    Examples
    --------
    >>> predicted = np.array([0.75, 0.75, 0.2, 1.5]).reshape(4, 1, 1)
    >>> day = sums(predicted, np.array([1.0, 0.0, np.nan, 1.0]).reshape(4, 1, 1))
    >>> day[0, EXPECTED].item(), day[0, N].sum().item()
    (4.0, 2.0)
    >>> day[0, PREDICTED][7].item(), day[0, OBSERVED][7].item()
    (1.5, 1.0)
    """
    n_targets = predicted.shape[-1]
    p, y = predicted.reshape(-1, n_targets), observed.reshape(-1, n_targets)
    is_kept = is_share(p) & is_share(y)
    places = (BINS * np.where(is_kept, p, 0.0)).astype(np.intp)
    np.minimum(places, BINS - 1, out=places)
    places += np.arange(n_targets) * BINS
    # As a rule all are; picking takes as long as all else.
    kept = [of.ravel() if is_kept.all() else of[is_kept] for of in (places, p, y)]
    at, *weights = kept
    summed = [
        np.bincount(at, of, n_targets * BINS).reshape(n_targets, BINS)
        for of in (None, *weights)
    ]
    expected = np.isfinite(predicted).sum(axis=(0, 1))[:, np.newaxis]
    day: Floats = np.concatenate([expected, *summed], axis=1).astype(float)
    return day


def is_share(values: Floats) -> Bools:
    """Return which numbers are from 0 to 1; NaN is not."""
    is_share: Bools = np.abs(values - 0.5) <= 0.5 + _ROUNDED
    return is_share


CALIBRATION = stored_sums.stream("calibration", 1, WIDTH, "<f8")
