"""Runs of equal numbers, as arrays; for a few numbers faster than what numpy has for it."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]


def run_starts(numbers: Ints) -> Ints:
    """Return where each run of equal numbers begins.

    Examples
    --------
    >>> run_starts(np.array([7, 7, 8, 7]))
    array([0, 2, 3])
    """
    is_first = np.ones(numbers.size, dtype=np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=is_first[1:])
    return is_first.nonzero()[0]


def run_lengths(starts: Ints, n: int) -> Ints:
    """Return how many of `n` numbers each run has.

    Examples
    --------
    >>> run_lengths(np.array([0, 2, 3]), 4)
    array([2, 1, 1])
    """
    ends = np.empty_like(starts)
    ends[:-1] = starts[1:]
    ends[-1:] = n
    return ends - starts


def steps(numbers: Ints, first: int = 0) -> Ints:
    """Return by how much each number is above the one before it, the first one above `first`.

    Examples
    --------
    >>> steps(np.array([5, 7, 7]))
    array([5, 2, 0])
    """
    found = numbers.copy()
    found[1:] -= numbers[:-1]
    found[:1] -= first
    return found
