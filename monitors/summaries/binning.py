"""Binning of values by table, where that is faster than a search."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

_CELLS = 1024
_MOST = 3  # edges in one cell; with more the search is faster
_ENOUGH = 4096  # values for which making the table pays


class Bins:
    """Finds the bins of many values between the same edges.

    A binary search is five branches that the processor cannot foresee. Instead
    a stretch of the line is cut into equal cells: the cell of a value gives how
    many edges lie in the cells below, and the few in its own are compared. The
    cell is a monotone function of the value, so no rounding can put a value
    on the wrong side of an edge.

    Parameters
    ----------
    edges : (edge,)
        Ascending and finite; some may be equal.
    n_values
        How many will be binned: for few no table is made.

    Attributes
    ----------
    n
        How many bins there are: one more than edges.
    """

    def __init__(self, edges: Floats, n_values: int) -> None:
        self.n = edges.size + 1
        self._edges = edges
        self._below: Ints | None = None
        if n_values < _ENOUGH:
            return
        apart, where = np.unique(edges, return_index=True)
        # A far tail would leave one cell to all others: outer edges may share the outer cells.
        for out in range(_MOST):
            inner = apart[out : apart.size - out]
            if inner.size > 1 and self._fits(apart, inner):
                break
        self._bin = None if apart.size == edges.size else np.append(where, edges.size)

    def _fits(self, apart: Floats, inner: Floats) -> bool:
        """Make the table with cells over `inner`; False where too many edges share one."""
        self._start = inner[0]
        with np.errstate(over="ignore"):
            self._scale = _CELLS / (inner[-1] - inner[0])
        if not 0 < self._scale < np.inf:
            return False
        in_cell = np.bincount(self._cells(apart), minlength=_CELLS)
        self._most = int(in_cell.max())
        if self._most > _MOST:
            return False
        self._below = np.cumsum(in_cell) - in_cell
        self._next = np.append(apart, np.full(_MOST, np.nan))  # nothing is at or above NaN
        return True

    def of(self, values: Floats) -> Ints:
        """Return the bin of each value: how many edges are at or below it.

        Parameters
        ----------
        values : (value,)
            Infinite ones lie in the outermost bins. No NaN.

        Examples
        --------
        >>> Bins(np.array([0.0, 1.0]), 3).of(np.array([-1.0, 0.0, np.inf]))
        array([0, 1, 2])
        """
        if self._below is None:
            return np.searchsorted(self._edges, values, side="right")
        bins = self._below[self._cells(values)]
        for _ in range(self._most):
            bins += self._next[bins] <= values
        return bins if self._bin is None else self._bin[bins]

    def _cells(self, values: Floats) -> NDArray[np.intp]:
        with np.errstate(over="ignore"):
            place: Floats = (values - self._start) * self._scale
        return np.clip(place, 0.0, _CELLS - 1.0, out=place).astype(np.intp)
