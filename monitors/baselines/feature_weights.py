"""Weights of features or views under one false alarm rate."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from monitors.summaries.summary import Floats

Weights: TypeAlias = Mapping[str, float]


def check(weights: Weights, what: str, known: Iterable[str] | None = None) -> None:
    """Refuse weights that mean nothing.

    Parameters
    ----------
    weights
        By name.
    what
        What bears these names, for people: "feature" or "view".
    known
        The names that there are; None where that is not known here.

    Raises
    ------
    ValueError
        If one is negative or infinite, is of a name that is not known, or if
        nothing is left that counts.

    Examples
    --------
    >>> check({"load": 2.0, "wind": 0.0}, "feature", ["load", "wind"])
    >>> check({"lod": 2.0}, "feature", ["load", "wind"])
    Traceback (most recent call last):
    ValueError: no feature 'lod' to weigh; known: load, wind
    """
    for name, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise ValueError(f"the weight of {what} {name!r} must not be negative or infinite")
    if known is None:
        return
    names = [*known]
    for name in weights:
        if name not in names:
            raise ValueError(f"no {what} {name!r} to weigh; known: {', '.join(names)}")
    if names and not any(weights.get(name, 1.0) for name in names):
        raise ValueError(f"no {what} is left that counts")


def unit(names: Sequence[str], weights: Weights) -> Floats:
    """Return what each score is divided by: 1 / weight, infinite for one that counts nothing.

    Parameters
    ----------
    names
        In their order.
    weights
        By name; 1 where absent.

    Returns
    -------
    (name,)

    Examples
    --------
    >>> unit(["a", "b", "c"], {"b": 2.0, "c": 0.0})
    array([1. , 0.5, inf])
    """
    given = np.array([weights.get(name, 1.0) for name in names])
    each: Floats = np.divide(1.0, given, out=np.full(given.shape, np.inf), where=given > 0)
    return each
