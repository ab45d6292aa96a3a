"""Transforms of values: factors, offsets and scalers, with their names."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from monitors.summaries.summary import Floats
from seqwatch_skew.faults import ARITHMETIC, DiagnosedFault, Fault

# What one unit becomes in another. The inverse of each is known as well.
_FACTORS = {
    1e3: "kilo",
    1e6: "mega",
    1e9: "giga",
    100.0: "per cent",
    10.0: "tenths",
    60.0: "minutes or seconds",
    3_600.0: "hours to seconds",
    24.0: "days to hours",
    86_400.0: "days to seconds",
    3.6: "m/s to km/h",
    1.8: "degrees Celsius to degrees Fahrenheit, differences",
    math.pi / 180: "degrees to radians",
    2 * math.pi: "turns to radians",
    1.609344: "miles to kilometres",
    0.3048: "feet to metres",
    0.0254: "inches to metres",
    0.514444444444: "knots to m/s",
    0.44704: "mph to m/s",
    0.45359237: "pounds to kilograms",
    6.894757293: "psi to kPa",
    4.184: "calories to joules",
}
_LINES = {
    (1.0, 273.15): "degrees Celsius to kelvin",
    (1.0, -273.15): "kelvin to degrees Celsius",
    (1.8, 32.0): "degrees Celsius to degrees Fahrenheit",
    (1 / 1.8, -32 / 1.8): "degrees Fahrenheit to degrees Celsius",
    (1.8, -459.67): "kelvin to degrees Fahrenheit",
    (1 / 1.8, 459.67 / 1.8): "degrees Fahrenheit to kelvin",
}

# A line with a name is believed if it leaves hardly more than the best line: from 20 pairs on,
# that is what estimating two numbers wins (sqrt(20 / 18) = 1.05), with room.
_HARDLY_MORE = 1.5

# A line that explains less of the squares than this is none of ours: 0.92 is what rounding to
# levels leaves of the coarsest column that still moves by a level.
_MIN_EXPLAINED = 0.5

# A factor this close to a known one may be called by its name, if that line is believed.
_MAX_APART = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Online is `factor` x offline + `offset`.

    Attributes
    ----------
    named
        None for the line that changes nothing.
    cost
        As in `Explanation`.
    """

    factor: float
    offset: float
    cost: float
    named: DiagnosedFault | None = None

    def left(self, offline: Floats, online: Floats) -> Floats:
        """Return what undoing the line leaves, in the unit of offline."""
        left: Floats = (online - self.offset) / self.factor - offline
        return left


SAME = Line(factor=1.0, offset=0.0, cost=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The lines that suit some pairs best.

    Attributes
    ----------
    factor, offset
        Of the best line.
    through_zero
        Of the best line without an offset.
    shift
        Of the best line whose factor is 1.
    explained
        Share of the squares of online that the best line explains.
    """

    factor: float
    offset: float
    through_zero: float
    shift: float
    explained: float


def fit(offline: Floats, online: Floats) -> Fit | None:
    """Fit the pairs by least squares.

    Parameters
    ----------
    offline, online : (pair,)
        All finite.

    Returns
    -------
    Fit or None
        None where either never varies: then any line would do.

    Examples
    --------
    >>> pairs = np.arange(30.0)
    >>> found = fit(pairs, 32 + 1.8 * pairs)
    >>> round(found.factor, 6), round(found.offset, 6)
    (1.8, 32.0)
    """
    x, y = offline - offline.mean(), online - online.mean()
    xx, yy = float(x @ x), float(y @ y)
    if xx == 0 or yy == 0:
        return None
    factor = float(x @ y) / xx
    through_zero = float(offline @ online) / float(offline @ offline)
    return Fit(
        factor=factor,
        offset=float(online.mean() - factor * offline.mean()),
        through_zero=through_zero,
        shift=float(np.mean(online - offline)),
        explained=factor * float(x @ y) / yy,
    )


def lines(
    offline: Floats, online: Floats, spread: float, scaler: tuple[float, float] | None
) -> Iterator[Line]:
    """Yield the lines that may lead from offline to online, the simpler first.

    Parameters
    ----------
    offline, online : (pair,)
        All finite.
    spread
        Standard deviation of the feature, offline.
    scaler
        Center and scale that the contract declares.
    """
    yield SAME
    found = fit(offline, online)
    if found is None or found.explained < _MIN_EXPLAINED:
        return
    free = Line(
        factor=found.factor,
        offset=found.offset,
        cost=1.5,
        named=_line(Fault.AFFINE, found.factor, found.offset),
    )
    allowed = max(_HARDLY_MORE * _rms(free.left(offline, online)), ARITHMETIC * spread)
    is_known = False
    for line in (*_by_scaler(scaler), *_by_unit(found)):
        if _rms(line.left(offline, online)) <= allowed:
            is_known = True
            yield line
    if not is_known:
        yield from _without_a_name(found)
        yield free


def _by_scaler(scaler: tuple[float, float] | None) -> Iterator[Line]:
    """Yield what the contract's scaler does when applied once too often, twice, or not."""
    if scaler is None or scaler == (0.0, 1.0):
        return
    center, scale = scaler
    factor, offset = 1.0, 0.0
    for times in (1, 2):
        factor, offset = factor / scale, (offset - center) / scale
        if not math.isfinite(factor) or not math.isfinite(offset):
            break
        named = _line(Fault.DOUBLE_SCALING, factor, offset, times=float(times))
        yield Line(factor=factor, offset=offset, cost=1.0, named=named)
    named = _line(Fault.NOT_SCALED, scale, center)
    yield Line(factor=scale, offset=center, cost=1.0, named=named)


def _by_unit(found: Fit) -> Iterator[Line]:
    """Yield the conversions of units that come near the best lines."""
    for (factor, offset), unit in _LINES.items():
        if abs(found.factor / factor - 1) <= _MAX_APART:
            named = _line(Fault.UNIT, factor, offset, unit=unit)
            yield Line(factor=factor, offset=offset, cost=1.0, named=named)
    known = unit_of(found.through_zero)
    if known is not None:
        factor, unit = known
        named = _line(Fault.UNIT, factor, 0.0, unit=unit)
        yield Line(factor=factor, offset=0.0, cost=1.0, named=named)


def _without_a_name(found: Fit) -> Iterator[Line]:
    """Yield the best line through zero, and the best that only shifts."""
    if found.through_zero:
        named = _line(Fault.SCALE, found.through_zero, 0.0)
        yield Line(factor=found.through_zero, offset=0.0, cost=1.0, named=named)
    if found.shift:
        named = DiagnosedFault(fault=Fault.OFFSET, parameters={"offset": found.shift})
        yield Line(factor=1.0, offset=found.shift, cost=1.0, named=named)


def unit_of(factor: float) -> tuple[float, str] | None:
    """Return the known factor nearest to a fitted one, with its name; None if none is near.

    Examples
    --------
    >>> unit_of(3.60001), unit_of(3.7)
    ((3.6, 'm/s to km/h'), None)
    >>> unit_of(0.001)
    (0.001, 'kilo, undone')
    """
    known = {-1.0: "the sign", **_FACTORS}
    known |= {1 / factor: f"{name}, undone" for factor, name in _FACTORS.items()}
    nearest = min(known, key=lambda one: abs(factor / one - 1))
    return (nearest, known[nearest]) if abs(factor / nearest - 1) <= _MAX_APART else None


def _line(fault: Fault, factor: float, offset: float, **more: float | str) -> DiagnosedFault:
    parameters: Mapping[str, float | str] = {"factor": factor, "offset": offset, **more}
    return DiagnosedFault(fault=fault, parameters=parameters)


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
