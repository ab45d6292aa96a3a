"""Diagnosis of skew: the simplest transform of one feature that explains the difference.

Each candidate defines which pairs to leave out (a fill value), from which column and
moment offline would have to be taken (swap, lag, reversal), and what line leads to
online (unit, offset, scaler). It counts only if undoing it removes the difference.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitors.summaries.summary import Bools, Floats
from seqwatch_skew import dtype_casts
from seqwatch_skew.alignment import Arrangement, arrangements
from seqwatch_skew.faults import (
    ARITHMETIC,
    MAX_SHARE_LEFT,
    MIN_PAIRS,
    DiagnosedFault,
    Explanation,
    Fault,
)
from seqwatch_skew.transforms import Line, lines

# That readings which differ by chance all agree on one of k levels has probability
# k^(1 - n): so many pairs must one value stand in for that this stays below, and three at
# least.
_CHANCE_OF_ONE = 1e-6
_MIN_FILLED = 3
_MAX_TRIED = 5  # frequent values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """One feature, offline and online.

    Attributes
    ----------
    offline, online : (series, step)
        NaN is missing.
    spread
        Standard deviation of offline, positive.
    tolerance
        Differences up to this are none, in the unit of offline.
    scaler
        Center and scale that the contract declares.
    step_seconds
        Between two steps; None when it is not known.
    seconds : (step,)
        Times, when they lie on no regular grid.
    """

    name: str
    offline: Floats
    online: Floats
    spread: float
    tolerance: float
    scaler: tuple[float, float] | None = None
    step_seconds: float | None = None
    seconds: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Mask:
    """Pairs that are left out, and why; nothing and no reason at first."""

    out: Bools
    named: tuple[DiagnosedFault, ...] = ()


def explain(column: Column, sources: Sequence[Column] = ()) -> tuple[Explanation, ...]:
    """Return the explanations of one feature's difference, the simplest first.

    Parameters
    ----------
    column
        The feature, with a difference.
    sources
        Other features that online may hold in its place.

    Returns
    -------
    tuple
        Only such as remove the difference; those after the first do so no less well.
        Empty when nothing does.
    """
    found = [
        explanation
        for mask in _masks(column)
        for source in (column, *sources)
        for explanation in _with(column, source, mask)
        if explanation.removes
    ]
    return choose(found)


def choose(found: Sequence[Explanation]) -> tuple[Explanation, ...]:
    """Return the simplest explanation, then those that are as simple and as good.

    A more complex one is preferred only if it removes nine tenths of what
    the simpler leaves, as every fault must.
    """
    if not found:
        return ()
    ordered = sorted(found, key=lambda one: (one.cost, max(one.left, ARITHMETIC)))
    best = ordered[0]
    for one in ordered[1:]:
        if one.cost > best.cost and one.left <= MAX_SHARE_LEFT * best.left > ARITHMETIC:
            best = one
    as_good = [
        one
        for one in ordered
        if one.cost == best.cost
        and one.left <= max(2 * best.left, ARITHMETIC)
        and one.kinds != best.kinds
    ]
    return best, *as_good


def _masks(column: Column) -> Iterator[_Mask]:
    """Yield no mask; then pairs that one or two values stand in, or that lost theirs."""
    nothing = _Mask(out=np.zeros(column.online.shape, dtype=np.bool_))
    found = [nothing]
    one = _filled(column, nothing)
    if one is not None:
        found.append(one)
        two = _filled(column, one)
        if two is not None:
            found.append(two)
    yield from found
    lost = np.isnan(column.online) & np.isfinite(column.offline)
    if lost.any():
        share = float(lost.sum() / np.isfinite(column.offline).sum())
        named = DiagnosedFault(fault=Fault.MISSING, parameters={"share": share})
        for mask in found:
            yield _Mask(out=mask.out | lost, named=(*mask.named, named))


def _filled(column: Column, before: _Mask) -> _Mask | None:
    """Add the pairs in which one value of online stands for others, or for none."""
    offline, online = column.offline, column.online
    with np.errstate(invalid="ignore"):
        is_same = np.abs(online - offline) <= column.tolerance
    differ = np.isfinite(online) & ~is_same & ~before.out
    values, n = np.unique(online[differ], return_counts=True)
    # A sensor that stands still has frequent values too, but offline then stands still there.
    for place in np.argsort(-n, kind="stable")[:_MAX_TRIED]:
        value, out = float(values[place]), differ & (online == values[place])
        if n[place] >= _enough(offline) and _varies(offline[out], column.tolerance):
            is_bound = _is_bound(column, out | before.out, out, value)
            fault = Fault.CLIPPED if is_bound else Fault.FILL_VALUE
            share = float(out.sum() / np.isfinite(online).sum())
            named = DiagnosedFault(fault=fault, parameters={"value": value, "share": share})
            return _Mask(out=out | before.out, named=(*before.named, named))
    return None


def _varies(replaced: Floats, tolerance: float) -> bool:
    """Whether several values were replaced, or none: one level for another is no filling."""
    finite = replaced[np.isfinite(replaced)]
    if not finite.size:
        return True
    return finite.size >= _MIN_FILLED and bool(np.ptp(finite) > tolerance)


def _enough(offline: Floats) -> float:
    """Return how many pairs of one value are no chance, by the levels that offline takes."""
    n_levels = np.unique(offline[np.isfinite(offline)]).size
    return max(1 - math.log(_CHANCE_OF_ONE) / math.log(max(n_levels, 2)), _MIN_FILLED)


def _is_bound(column: Column, masked: Bools, out: Bools, value: float) -> bool:
    """Whether online is cut off at a value, in whatever unit.

    Then the highest or the lowest of offline were replaced, and no others; and
    nothing of online lies beyond.
    """
    rest = ~masked & np.isfinite(column.online) & np.isfinite(column.offline)
    replaced, kept, others = column.offline[out], column.offline[rest], column.online[rest]
    if not np.isfinite(replaced).all() or not others.size:
        return False
    is_outermost = replaced.min() >= kept.max() or replaced.max() <= kept.min()
    return bool(is_outermost and (others.max() <= value or others.min() >= value))


def _with(column: Column, source: Column, mask: _Mask) -> Iterator[Explanation]:
    """Yield what explains online by one source, some pairs left out."""
    online = np.where(mask.out, np.nan, column.online)
    of_source = replace(source, scaler=column.scaler, tolerance=column.tolerance)
    if source is column:
        before = mask.named
        if not _has_strays(column, mask):
            for one in _in_place(column, online):
                yield replace(one, faults=(*before, *one.faults), cost=one.cost + len(before))
    else:
        swap = DiagnosedFault(fault=Fault.COLUMN_SWAP, parameters={"column": source.name})
        before = (*mask.named, swap)
    # What moving removes is measured on what there was without moving anything.
    was = _rms(online - column.offline) / source.spread
    lost = np.isfinite(column.offline) & np.isnan(column.online) & ~mask.out
    for order in arrangements(source.offline, online, column.step_seconds, column.seconds):
        if order.named is None and source is column:
            continue
        if np.any(lost & np.isfinite(order.values)):
            continue
        names = [before if order.named is None else (*before, order.named)]
        if order.named is not None and order.also is not None:
            names.append((*before, replace(order.named, fault=order.also)))
        for one in _moved(of_source, order, online, was):
            for named in names:
                yield replace(one, faults=(*named, *one.faults), cost=one.cost + len(named))


def _has_strays(column: Column, mask: _Mask) -> bool:
    """Whether pairs are left in which only one side has a value."""
    apart = np.isfinite(column.offline) != np.isfinite(column.online)
    return bool((apart & ~mask.out).any())


def _in_place(column: Column, online: Floats) -> Iterator[Explanation]:
    """Yield what was done to values that stand where they belong, all or some of them."""
    there = np.isfinite(column.offline) & np.isfinite(online)
    x, y = column.offline[there], online[there]
    differ = np.abs(y - x) > column.tolerance
    if not differ.any():
        yield Explanation(faults=(), cost=0.0, left=0.0, was=1.0)
        return
    alike = x[~differ], y[~differ]
    x, y = x[differ], y[differ]
    if x.size < MIN_PAIRS:
        return
    was = _rms(y - x) / column.spread
    for line in lines(x, y, column.spread, column.scaler):
        # A fault may befall some rows only, those of one worker for instance.
        if line.named is not None and np.any(np.abs(line.left(*alike)) > column.tolerance):
            share = {"share": float(differ.mean())}
            named = replace(line.named, parameters={**line.named.parameters, **share})
            line = replace(line, named=named)
        if line.named is not None:
            yield _by_line(column, line, x, y, was)
        yield from _by_levels(column, line, x, y, was)


def _moved(
    source: Column, order: Arrangement, online: Floats, was: float
) -> Iterator[Explanation]:
    """Yield what was done to values besides moving them."""
    there = np.isfinite(order.values) & np.isfinite(online)
    x, y = order.values[there], online[there]
    if x.size < max(MIN_PAIRS, np.isfinite(online).sum() / 2):
        return
    for line in lines(x, y, source.spread, source.scaler):
        yield _by_line(source, line, x, y, was)
        yield from _by_levels(source, line, x, y, was)


def _by_line(source: Column, line: Line, x: Floats, y: Floats, was: float) -> Explanation:
    faults = () if line.named is None else (line.named,)
    left = _rms(line.left(x, y)) / source.spread
    return Explanation(faults=faults, cost=line.cost, left=left, was=was)


def _by_levels(
    source: Column, line: Line, x: Floats, y: Floats, was: float
) -> Iterator[Explanation]:
    """Yield a line followed by a cast, unless the line alone leaves nothing."""
    if line.named is not None and _rms(line.left(x, y)) <= ARITHMETIC * source.spread:
        return
    predicted = line.factor * x + line.offset
    before = () if line.named is None else (line.named,)
    parameters: dict[str, float | str]
    cast = dtype_casts.exact(predicted, y)
    if cast is not None:
        parameters, left = {"type": cast}, 0.0
    else:
        width = dtype_casts.width(y)
        if width is None:
            return
        parameters = {"type": "levels", "width": width}
        left = _rms(dtype_casts.beyond(predicted, y, width)) / (
            abs(line.factor) * source.spread
        )
    named = DiagnosedFault(fault=Fault.DTYPE, parameters=parameters)
    yield Explanation(faults=(*before, named), cost=line.cost + 1, left=left, was=was)


def _rms(values: Floats) -> float:
    """Return the root mean square of what is there; inf when nothing is."""
    there = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(there**2))) if there.size else np.inf
