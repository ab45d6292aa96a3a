"""Comparison of offline and online features of the same events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from monitors.summaries.summary import Floats, Ints
from seqwatch_skew.alignment import correlations
from seqwatch_skew.diagnosis import Column, explain
from seqwatch_skew.dtype_casts import exact
from seqwatch_skew.faults import (
    ARITHMETIC,
    MIN_PAIRS,
    DiagnosedFault,
    Explanation,
    Fault,
    Verdict,
)

# Differences up to this many spreads of a feature are none: float32 arithmetic in another
# order stays a factor of ten below it.
TOLERANCE = 1e-5

# Columns whose correlations are searched at every lag too; each pair costs nine transforms.
_MAX_LAGGED = 16

# Below, squares of what is left over vanish, and anything would be explained.
_LEAST_SPREAD = 1e-140

# Steps of the grid for each row that there is: beyond, times lie on no grid.
_MAX_GRID = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """What offline and online made of the same raw events.

    Attributes
    ----------
    names
        The features.
    offline, online : (row, feature) or (row, step, feature)
        Aligned. Rows of single values are in the order of time, or have
        `seconds`; of windows each has its own steps. NaN and infinity are
        missing.
    seconds : (row,)
        Times of rows of single values; None when they are not known.
    step_seconds
        Between two steps, from the contract; None when it is not known.
    scaler
        By feature, center and scale that the contract declares.
    tolerance
        Differences that are none, in spreads of the feature.
    """

    names: tuple[str, ...]
    offline: Floats
    online: Floats
    seconds: Floats | None = None
    step_seconds: float | None = None
    scaler: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        if self.offline.shape != self.online.shape or self.offline.ndim not in (2, 3):
            raise ValueError("offline and online need one shape, of two or three axes")
        if self.offline.shape[-1] != len(self.names):
            raise ValueError("one name for each feature")
        if self.seconds is not None and self.offline.ndim == 3:
            raise ValueError("times are for rows of single values, not for windows")
        if self.seconds is not None and self.seconds.shape != self.offline.shape[:1]:
            raise ValueError("one time for each row")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSkew:
    """One feature, compared.

    Attributes
    ----------
    n, n_missing
        Pairs with both values, and pairs with only one.
    equal_rate
        Share of all pairs that agree to the last bit; missing agrees with
        missing. None when there is no pair.
    max_abs
        Largest difference, in the unit of the feature; None when concealed,
        or with no pair.
    max_ulp
        The same in steps of float32 at that value.
    distance
        Root mean square difference in spreads of offline; None without pairs
        or when offline never varies.
    faults
        What explains it, in the order in which it was made.
    left
        The distance after undoing them.
    also
        Other faults that explain it as simply and as well.
    """

    name: str
    verdict: Verdict
    n: int
    n_missing: int
    equal_rate: float | None
    max_abs: float | None
    max_ulp: float | None
    distance: float | None
    faults: tuple[DiagnosedFault, ...] = ()
    left: float | None = None
    also: tuple[tuple[Fault, ...], ...] = ()

    @property
    def is_skewed(self) -> bool:
        """Whether there is a difference that is more than arithmetic."""
        return self.verdict not in (Verdict.EQUAL, Verdict.CLOSE)

    def concealed(self) -> "FeatureSkew":
        """Return it without anything in the unit of the feature."""
        faults = tuple(named.concealed() for named in self.faults)
        return replace(self, faults=faults, max_abs=None, max_ulp=None)


def compare(pairs: Pairs) -> tuple[FeatureSkew, ...]:
    """Compare each feature, and name what was done to it.

    A name is given only if undoing the fault leaves at most 1 % of the feature's
    spread and a tenth of the difference, and nothing simpler does.

    Parameters
    ----------
    pairs
        Offline and online.

    Returns
    -------
    tuple
        One for each feature, in order.

    References
    ----------
    .. [1] E. Breck et al., "Data validation for machine learning", SysML 2019.
    .. [2] D. Sculley et al., "Hidden technical debt in machine learning
       systems", NeurIPS 2015.

    Examples
    --------
    >>> offline = np.random.default_rng(1).normal(20, 5, size=(50, 1))
    >>> [skew] = compare(Pairs(names=("t",), offline=offline, online=32 + 1.8 * offline))
    >>> skew.verdict.value, [named.message for named in skew.faults]
    ('explained', ['another unit, factor 1.8 (degrees Celsius to degrees Fahrenheit)'])
    """
    # What overflows is further off than any fault that would be named.
    with np.errstate(all="ignore"):
        return _compare_all(_columns(pairs))


def _compare_all(columns: Sequence[Column]) -> tuple[FeatureSkew, ...]:
    first = [_compare(column) for column in columns]
    # Another column is thought of only where the own one does not explain all.
    open_ones = [
        i
        for i, skew in enumerate(first)
        if skew.is_skewed and (skew.left is None or skew.left > ARITHMETIC) and skew.n
    ]
    sources = _sources(columns, open_ones)
    return tuple(
        _compare(columns[i], sources[i]) if i in sources else skew
        for i, skew in enumerate(first)
    )


def _columns(pairs: Pairs) -> list[Column]:
    offline, online, step_seconds, seconds = _laid_out(pairs)
    columns = []
    for i, name in enumerate(pairs.names):
        there = offline[..., i][np.isfinite(offline[..., i])]
        spread = float(there.std()) if there.size else 0.0
        level = float(np.abs(there).max(initial=0.0))
        # What never varies has no spread: rounding of its mean is none either.
        varies = spread > max(1e-12 * level, _LEAST_SPREAD)
        columns.append(
            Column(
                name=name,
                offline=offline[..., i],
                online=online[..., i],
                spread=spread if varies else 0.0,
                tolerance=pairs.tolerance * (spread if varies else level),
                scaler=pairs.scaler.get(name),
                step_seconds=step_seconds,
                seconds=seconds,
            )
        )
    return columns


def _laid_out(pairs: Pairs) -> tuple[Floats, Floats, float | None, Floats | None]:
    """Return both as (series, step, feature), on a grid of time where there is one."""
    offline, online = (
        np.where(np.isfinite(values), values, np.nan)
        for values in (pairs.offline, pairs.online)
    )
    if offline.ndim == 3:
        return offline, online, pairs.step_seconds, None
    if pairs.seconds is None:
        return offline[None], online[None], pairs.step_seconds, None
    order = np.argsort(pairs.seconds, kind="stable")
    seconds, offline, online = pairs.seconds[order], offline[order], online[order]
    found = _grid(seconds)
    if found is None:
        return offline[None], online[None], None, seconds
    place, step = found
    shape = (1, int(place[-1]) + 1, offline.shape[1])
    on_grid = np.full(shape, np.nan), np.full(shape, np.nan)
    for grid, values in zip(on_grid, (offline, online), strict=True):
        grid[0, place] = values
    return *on_grid, step, None


def _grid(seconds: Floats) -> tuple[Ints, float] | None:
    """Return the step of each time on a regular grid, and its width; None if there is none."""
    apart = np.diff(seconds)
    if not apart.size or apart.min() <= 0:
        return None
    step = float(np.median(apart))
    steps = (seconds - seconds[0]) / step
    place = np.round(steps)
    if (
        np.abs(steps - place).max() > 1e-6 * (1 + place[-1])
        or place[-1] > _MAX_GRID * place.size
    ):
        return None
    return place.astype(np.int64), step


def _compare(column: Column, sources: Sequence[Column] = ()) -> FeatureSkew:
    offline, online = column.offline, column.online
    both = np.isfinite(offline) & np.isfinite(online)
    either = np.isfinite(offline) | np.isfinite(online)
    x, y = offline[both], online[both]
    n, n_missing = int(both.sum()), int(either.sum() - both.sum())
    apart = np.abs(y - x)
    n_equal = int((apart == 0).sum())
    skew = FeatureSkew(
        name=column.name,
        verdict=Verdict.EQUAL,
        n=n,
        n_missing=n_missing,
        equal_rate=n_equal / (n + n_missing) if n + n_missing else None,
        max_abs=float(apart.max()) if n else None,
        max_ulp=_ulps(x, apart) if n else None,
        distance=float(np.sqrt(np.mean(apart**2))) / column.spread
        if n and column.spread
        else None,
    )
    if not either.any():
        return replace(skew, verdict=Verdict.UNDETERMINED)
    if n_equal == n and not n_missing:
        return skew
    is_close = not n_missing and bool(np.all(apart <= column.tolerance))
    if is_close:
        return _cast(skew, column)
    if n + n_missing < MIN_PAIRS or not column.spread:
        return replace(skew, verdict=Verdict.UNDETERMINED)
    return _explained(skew, explain(column, sources))


def _cast(skew: FeatureSkew, column: Column) -> FeatureSkew:
    """Name the cast behind differences that are too small to matter."""
    there = np.isfinite(column.offline)
    cast = exact(column.offline[there], column.online[there])
    faults = (
        () if cast is None else (DiagnosedFault(fault=Fault.DTYPE, parameters={"type": cast}),)
    )
    return replace(skew, verdict=Verdict.CLOSE, faults=faults)


def _explained(skew: FeatureSkew, found: Sequence[Explanation]) -> FeatureSkew:
    if not found:
        return replace(skew, verdict=Verdict.UNEXPLAINED)
    best, *others = found
    return replace(
        skew,
        verdict=Verdict.EXPLAINED,
        faults=best.faults,
        left=best.left,
        also=tuple(dict.fromkeys(one.kinds for one in others)),
    )


def _ulps(offline: Floats, apart: Floats) -> float:
    """Return the largest difference in steps of float32 at the value of offline."""
    with np.errstate(over="ignore", invalid="ignore"):
        single = np.abs(offline).astype(np.float32)
        width = np.spacing(np.minimum(single, np.finfo(np.float32).max)).astype(float)
    return float((apart / width).max())


def _sources(columns: Sequence[Column], open_ones: Sequence[int]) -> dict[int, list[Column]]:
    """Return the columns that each open one may hold in place of its own.

    The assignment of columns whose correlations are largest in sum, and for each
    the single column that it resembles most.
    """
    places = [j for j, column in enumerate(columns) if column.spread]
    if not open_ones or len(places) < 2:
        return {}
    alike = _likeness([columns[i] for i in open_ones], [columns[j] for j in places])
    rows, assigned = linear_sum_assignment(-alike)
    wanted = {i: [int(np.argmax(alike[row]))] for row, i in enumerate(open_ones)}
    for row, place in zip(rows, assigned, strict=True):
        wanted[open_ones[int(row)]].insert(0, int(place))
    return {
        i: [columns[j] for j in dict.fromkeys(places[p] for p in found) if j != i]
        for i, found in wanted.items()
    }


def _likeness(online: Sequence[Column], offline: Sequence[Column]) -> Floats:
    """Return the absolute correlation of each online column with each offline one.

    Of the order as it is, of the reverse, and of every lag where columns are few.
    """
    shown = np.stack([_standard(column.online) for column in online])
    meant = np.stack([_standard(column.offline) for column in offline])
    turned = meant[..., ::-1]
    n = shown[0].size
    flat = shown.reshape(len(online), n)
    alike: Floats = np.maximum(
        np.abs(flat @ meant.reshape(len(offline), n).T),
        np.abs(flat @ turned.reshape(len(offline), n).T),
    )
    alike /= n
    if len(online) * len(offline) <= _MAX_LAGGED**2 and online[0].seconds is None:
        for row, one in enumerate(online):
            for place, other in enumerate(offline):
                at_lags = np.abs(correlations(other.offline, one.online)[1]).max()
                alike[row, place] = max(alike[row, place], float(at_lags))
    return alike


def _standard(values: Floats) -> Floats:
    """Return values with mean 0 and spread 1, and 0 where there is none."""
    there = np.isfinite(values)
    if not there.any():
        return np.zeros_like(values)
    spread = values[there].std()
    standard: Floats = np.where(there, values - values[there].mean(), 0.0) / (spread or 1.0)
    return standard
