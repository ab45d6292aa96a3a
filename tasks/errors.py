"""Errors of numbers at fixed steps, in units of the version's scaler."""

import numpy as np

from core.arrays import Floats
from core.schema.feature import LARGEST


def apart(values: Floats, actual: Floats, std: Floats) -> Floats:
    """Return values less what happened, in units; (prediction, step, target).

    Of a magnitude of at most 1e100, however small the units: squares add up.

    Parameters
    ----------
    values, actual : (prediction, step, target)
        NaN where there is none.
    std : (target,)
        The units.

    Examples
    --------
    >>> apart(np.full((1, 1, 1), 3.0), np.ones((1, 1, 1)), np.array([2.0]))
    array([[[1.]]])
    """
    error: Floats = values - actual
    flat = error.reshape(len(error), -1)  # many times as fast as along so short an axis
    with np.errstate(over="ignore"):
        flat /= np.tile(std, error.shape[1])
    return np.clip(error, -LARGEST, LARGEST, out=error)
