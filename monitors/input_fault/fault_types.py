"""Estimation of one fault of one input: factor, offset, and hour of onset."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from monitors.summaries.summary import Floats

# Hours that the change must have lasted before it is named.
MIN_HOURS = 24

# Hours before and after the onset whose difference measures how abrupt it was.
_EDGE = 3

# An offset is named only if it leaves clearly less unexplained than a factor
# through the origin: with little variation the two cannot be distinguished, and factors
# (units, gains, double scaling) are the commoner fault.
_PREFER_SCALE = 0.9


# Standard deviations from zero beyond which a factor of 1.15, the least that is reported,
# would move the level by 15 of them.
_FAR = 100.0


class FaultKind(StrEnum):
    """How an input is broken."""

    SCALE = "scale"
    OFFSET = "offset"
    STUCK = "stuck"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The best single explanation.

    Attributes
    ----------
    kind
        Scale or offset.
    amount
        The factor, or what was added, in the unit of the feature.
    hour
        Its first hour, counted from the start of the stretch.
    gain
        Mean squared error per hour since then that it explains.
    unexplained
        Mean squared error per hour, over the whole stretch, that it leaves.
    jump
        Change of the error across the onset, in the unit of the feature.
    """

    kind: FaultKind
    amount: float
    hour: int
    gain: float
    unexplained: float
    jump: float


def explain(values: Floats, expected: Floats, first: int, sd: float = np.inf) -> Shape:
    """Find the onset, and the factor or offset, that leave the least error.

    Parameters
    ----------
    values : (hour,)
        What the feature did.
    expected : (hour,)
        Expected values, from the other features and its own past.
    first
        The earliest onset; the latest leaves `MIN_HOURS`.
    sd
        Of the feature. Where its values lie a hundred of them from zero, no factor is
        distinguished from an offset, and an offset it is.

    Returns
    -------
    Shape
        The least-squares explanation, whether or not there is a fault.

    Examples
    --------
    >>> expected = 5 + np.sin(np.arange(96.0))
    >>> values = np.where(np.arange(96) < 50, expected, 1.8 * expected)
    >>> shape = explain(values, expected, first=24)
    >>> shape.kind.value, round(shape.amount, 2), shape.hour
    ('scale', 1.8, 50)
    """
    n = values.size
    onsets = np.arange(first, n - MIN_HOURS + 1)
    errors = values - expected
    before = np.concatenate([[0.0], np.cumsum(errors**2)])[onsets]
    n_after = n - onsets
    eh, hh, ee, e = (
        np.cumsum(product[::-1])[::-1][onsets]
        for product in (errors * expected, expected**2, errors**2, errors)
    )
    # From 1, as the errors are small against a level that lies far from zero.
    gain = eh / np.maximum(hh, np.finfo(float).tiny)
    factor = 1.0 + gain
    # The noise of a sensor is scaled with it.
    left_by_factor = (ee - gain * eh) / np.maximum(factor**2, 1.0)
    left_by_offset = ee - e**2 / n_after
    is_near = np.sqrt(hh / n_after) <= _FAR * sd
    scaled = is_near & (left_by_factor * _PREFER_SCALE <= left_by_offset)
    left = before + np.maximum(np.where(scaled, left_by_factor, left_by_offset), 0.0)
    best = int(np.argmin(left))
    hour = int(onsets[best])
    return Shape(
        kind=FaultKind.SCALE if scaled[best] else FaultKind.OFFSET,
        amount=float(factor[best] if scaled[best] else e[best] / n_after[best]),
        hour=hour,
        gain=max(float((before[best] + ee[best] - left[best]) / n_after[best]), 0.0),
        unexplained=float(left[best] / n),
        jump=_jump(errors, hour),
    )


def _jump(errors: Floats, hour: int) -> float:
    return float(abs(errors[hour : hour + _EDGE].mean() - errors[hour - _EDGE : hour].mean()))


def amount_of(kind: FaultKind, values: Floats, expected: Floats) -> float:
    """Measure a factor or an offset on hours that all have it.

    Parameters
    ----------
    kind
        Scale or offset.
    values, expected : (hour,)
        As in `explain`.

    Examples
    --------
    >>> amount_of(FaultKind.SCALE, np.array([2.0, 4.0]), np.array([1.0, 2.0]))
    2.0
    """
    if kind is FaultKind.OFFSET:
        return float((values - expected).mean())
    return float(values @ expected / max(float(expected @ expected), np.finfo(float).tiny))


def ended(errors: Floats, undone: Floats) -> int | None:
    """Find the hour since which an input is better explained as repaired.

    Parameters
    ----------
    errors : (hour,)
        Of the values as they are, in standard deviations.
    undone : (hour,)
        Of the values with the fault undone, likewise.

    Returns
    -------
    int or None
        None while the fault explains the values better, or the evidence for
        its end is shorter than half of `MIN_HOURS`.

    Examples
    --------
    >>> ended(np.r_[np.full(20, 5.0), np.zeros(28)], np.r_[np.zeros(20), np.full(28, 5.0)])
    20
    """
    evidence = np.cumsum((undone**2 - errors**2)[::-1])[::-1]
    hour = int(np.argmax(evidence))
    if errors.size - hour < MIN_HOURS // 2 or evidence[hour] < MIN_HOURS:
        return None
    return hour
