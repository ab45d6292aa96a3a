"""Predictions counted by cell: a partition of them, ten seconds by ten seconds."""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np

from core.errors import Unprocessable
from core.schema.events import EVENT_SCHEMA
from core.schema.rows import SCALARS, Kind
from core.streams import Additive, Level
from core.window import Window
from monitors.summaries.runs import run_lengths, run_starts
from monitors.summaries.runs import steps as steps_of
from monitors.summaries.summary import Bools, Floats, Ints

SLICE = timedelta(seconds=10)
N_PLACES = 32  # of segments; a model without segments has one
NO_SEGMENT = 1  # the place of a prediction that belongs to none
STRIDE = 256  # of the keys of one place
MAX_CELLS = ERROR_CELL = STRIDE - 1  # the last one: where the cell could not be computed
COLUMNS = {Kind.PREDICTIONS: SCALARS, Kind.EVENTS: tuple(EVENT_SCHEMA.names)}

_SLICE_US, _OF_SLICE = SLICE // timedelta(microseconds=1), N_PLACES * STRIDE
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF_ROW = 1 << 46  # above the keys of any slice: sets the rows apart that are merged in one go
_OF_HOUR = timedelta(hours=1) // SLICE * _OF_SLICE

_FORMAT, _KEYS = 3, 2  # 2 held steps between keys; since 3 cells are apart
_HEADER = struct.Struct("<BBBxqI")  # format, bytes per step and per count, first, how many
_WIDTHS = (1, 2, 4, 8)
_UNSIGNED = {width: np.dtype(f"<u{width}") for width in _WIDTHS}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Texts:
    """A column of texts.

    Attributes
    ----------
    codes : (prediction,)
        The place of each text in `values`.
    values
        The distinct texts; None is a missing one.
    """

    codes: Ints
    values: tuple[str | None, ...]

    def isin(self, *texts: str) -> Bools:
        """Return which predictions have one of these texts, shape (prediction,).

        Examples
        --------
        >>> Texts(codes=np.array([0, 1, 0]), values=("ok", "error")).isin("error")
        array([False,  True, False])
        """
        found: Bools = np.array([value in texts for value in self.values], np.bool_)[self.codes]
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """Columns of some prediction rows.

    Attributes
    ----------
    n
        Predictions.
    numbers : (prediction,) each
        By name: numbers, flags as 0 and 1, times in seconds since 1970; NaN where missing.
    texts
        By name.
    """

    n: int
    numbers: Mapping[str, Floats]
    texts: Mapping[str, Texts]


CellOf: TypeAlias = Callable[[Columns], Ints]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A partition of predictions that does not depend on parameters.

    Attributes
    ----------
    columns
        Of the row that `cell` reads; each has one value a row.
    n
        How many cells, at most 255. Counts are stored by their numbers: the meaning of a
        number never changes, but more may be added behind.
    cell
        Returns the cell of each prediction, shape (prediction,), from 0; -1 where it is not
        counted. It reads nothing but its argument, and one row does not depend on another.
    kinds
        Of the rows that are counted.
    """

    columns: tuple[str, ...]
    n: int
    cell: CellOf
    kinds: frozenset[Kind] = frozenset({Kind.PREDICTIONS})

    def __post_init__(self) -> None:
        if not 0 < self.n <= MAX_CELLS:
            raise ValueError(f"there must be 1 to {MAX_CELLS} cells, not {self.n}")
        names = [name for kind in sorted(self.kinds) for name in COLUMNS[kind]]
        if unknown := [name for name in self.columns if name not in names]:
            raise ValueError(f"no column {', '.join(unknown)}; known: {', '.join(names)}")

    def of(self, columns: Columns) -> Ints:
        """Return the cell of each prediction, shape (prediction,).

        Raises
        ------
        ValueError
            If `cell` returned anything but one cell for each prediction.
        """
        found = np.asarray(self.cell(columns))
        if found.shape != (columns.n,) or not np.issubdtype(found.dtype, np.integer):
            raise ValueError(
                f"cell must return {columns.n} integers, not {found.dtype} {found.shape}"
            )
        if found.size and not -1 <= found.min() <= found.max() < self.n:
            raise ValueError(f"cell must return -1 to {self.n - 1}")
        return found.astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellCounts:
    """Predictions by slice, place and cell; what was counted 0 times is left out.

    Attributes
    ----------
    keys : (key,)
        `(slice * N_PLACES + place) * STRIDE + cell`, slices counted since 1970;
        ascending, each once.
    counts : (key,)
        Predictions, at least one.
    """

    keys: Ints
    counts: Ints

    @property
    def hours(self) -> Ints:
        """The hours since 1970 in which anything was counted, ascending, each once."""
        hours = self.keys // _OF_HOUR
        return hours[run_starts(hours)]

    @property
    def slices(self) -> Ints:
        """The slice of each key, shape (key,)."""
        return self.keys // _OF_SLICE

    @property
    def places(self) -> Ints:
        """The place of the segment of each key, shape (key,)."""
        return self.keys // STRIDE % N_PLACES

    @property
    def cells(self) -> Ints:
        """The cell of each key, shape (key,)."""
        return self.keys % STRIDE

    @property
    def n_failed(self) -> int:
        """Predictions whose cell could not be computed."""
        return int(self.counts[self.cells == ERROR_CELL].sum())

    @property
    def last(self) -> datetime:
        """The start of the last slice."""
        return _EPOCH + int(self.slices[-1]) * SLICE

    def within(self, window: Window) -> "CellCounts":
        """Return what was counted in a window."""
        bounds = [_slice_at(window.start) * _OF_SLICE, _slice_at(window.end) * _OF_SLICE]
        low, high = np.searchsorted(self.keys, bounds)
        return CellCounts(keys=self.keys[low:high], counts=self.counts[low:high])

    def of_place(self, place: int) -> "CellCounts":
        """Return what was counted of one segment."""
        own = self.places == place
        return CellCounts(keys=self.keys[own], counts=self.counts[own])


def summarise(at: Ints, cells: Ints, places: Ints | None = None) -> CellCounts:
    """Count predictions.

    Parameters
    ----------
    at : (prediction,)
        Event times, in microseconds since 1970.
    cells : (prediction,)
        From 0; -1 is not counted.
    places : (prediction,)
        Of their segments; None where the model has none.

    Examples
    --------
    >>> summarise(np.array([0, 5, 9]), np.array([3, 3, -1])).counts.tolist()
    [2]
    """
    place = NO_SEGMENT if places is None else places
    keys = (at // _SLICE_US * N_PLACES + place) * STRIDE + cells
    if cells.size and cells.min() < 0:
        keys = keys[cells >= 0]
    if (keys[1:] < keys[:-1]).any():
        keys = np.sort(keys)
    first = run_starts(keys)
    return CellCounts(keys=keys[first], counts=run_lengths(first, keys.size))


def merged(parts: Sequence[CellCounts]) -> CellCounts:
    """Return the counts of some parts together; none of no part.

    Examples
    --------
    >>> one = summarise(np.array([0]), np.array([3]))
    >>> merged([one, one]).counts.tolist()
    [2]
    """
    if len(parts) == 1:
        return parts[0]
    none = np.zeros(0, np.int64)
    keys = np.concatenate([none, *(part.keys for part in parts)])
    counts = np.concatenate([none, *(part.counts for part in parts)])
    return _summed(keys, counts)


def _summed(keys: Ints, counts: Ints) -> CellCounts:
    if (keys[1:] > keys[:-1]).all():
        return CellCounts(keys=keys, counts=counts)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = run_starts(keys)
    return CellCounts(keys=keys[first], counts=np.add.reduceat(counts[order], first))


def to_bytes(found: CellCounts) -> bytes:
    """Return the counts of one hour: steps between slices and places, cells, and counts."""
    at = found.keys // STRIDE
    first, steps = int(at[0]), steps_of(at, int(at[0]))
    of_steps, of_counts = map(_width, (steps, found.counts))
    columns = (steps, of_steps), (found.cells, 1), (found.counts, of_counts)
    body = b"".join(part.astype(_UNSIGNED[width]).tobytes() for part, width in columns)
    return _HEADER.pack(_FORMAT, of_steps, of_counts, first, at.size) + body


def _width(numbers: Ints) -> int:
    largest = int(numbers.max())
    return next(width for width in _WIDTHS if not largest >> 8 * width)


def from_many(blobs: Sequence[bytes]) -> CellCounts:
    """Return all that was counted in some hours, of any versions.

    Raises
    ------
    Unprocessable
        If one is of another format, or cut short.
    """
    return _summed(*_read(blobs)[:2])


def added(rows: Sequence[tuple[bytes, CellCounts]]) -> list[bytes]:
    """Return stored counts of hours, at most 100,000, with what is new added to each.

    Raises
    ------
    Unprocessable
        If one is of another format, or cut short.

    Examples
    --------
    >>> one, other = (summarise(np.array([at]), np.array([3])) for at in (0, 10_000_000))
    >>> rows = [(to_bytes(one), one), (to_bytes(one), other)]
    >>> [from_many([row]).counts.tolist() for row in added(rows)]
    [[2], [1, 1]]
    """
    keys, counts, sizes = _read([old for old, _ in rows])
    news, places = [new for _, new in rows], [*range(len(rows))]
    sizes += [new.keys.size for new in news]
    keys = np.concatenate([keys, *(new.keys for new in news)])
    counts = np.concatenate([counts, *(new.counts for new in news)])
    apart = _summed(keys + np.repeat([*places, *places], sizes) * _OF_ROW, counts)
    ends = np.searchsorted(apart.keys, np.arange(1, len(rows)) * _OF_ROW)
    every = zip(np.split(apart.keys, ends), np.split(apart.counts, ends), places, strict=True)
    return [
        to_bytes(CellCounts(keys=own - place * _OF_ROW, counts=of)) for own, of, place in every
    ]


def _read(blobs: Sequence[bytes]) -> tuple[Ints, Ints, list[int]]:
    """Return keys and counts of some rows, one after another, and how many each has."""
    steps, cells, counts, heads = [], [], [], []
    for blob in blobs:
        try:
            version, of_steps, of_counts, first, n = _HEADER.unpack_from(blob)
            if version not in (_FORMAT, _KEYS):
                raise Unprocessable(f"cells are stored in format {version}, not {_FORMAT}")
            steps.append(np.frombuffer(blob, _UNSIGNED[of_steps], n, _HEADER.size))
            at, n_cells = _HEADER.size + of_steps * n, n if version == _FORMAT else 0
            cells.append(np.frombuffer(blob, np.uint8, n_cells, at) if n_cells else [0] * n)
            counts.append(np.frombuffer(blob, _UNSIGNED[of_counts], n, at + n_cells))
        except (struct.error, ValueError, KeyError) as error:
            raise Unprocessable(f"cells are cut short: {error}") from None
        heads.append((first, STRIDE if n_cells else 1, n))
    firsts, units, sizes = np.array(heads, np.int64).T
    # One sum over all rows, less what it is where each begins: the first step of a row is 0.
    sums = np.cumsum(np.concatenate(steps, dtype=np.int64, casting="unsafe"))
    begins = np.cumsum(sizes) - sizes
    of_slices = sums + np.repeat(firsts - sums[begins], sizes)
    keys = of_slices * np.repeat(units, sizes) + np.concatenate(cells)
    return keys, np.concatenate(counts, dtype=np.int64, casting="unsafe"), sizes.tolist()


def _by_hour(found: CellCounts) -> Iterable[tuple[datetime, CellCounts]]:
    hours = found.hours.tolist()
    if len(hours) == 1:  # as a rule
        yield _EPOCH + timedelta(hours=hours[0]), found
        return
    for hour in hours:
        low, high = np.searchsorted(found.keys, [hour * _OF_HOUR, (hour + 1) * _OF_HOUR])
        part = CellCounts(keys=found.keys[low:high], counts=found.counts[low:high])
        yield _EPOCH + timedelta(hours=hour), part


def as_one_slice(found: CellCounts, start: datetime) -> CellCounts:
    """Return everything as of one slice, by place and cell.

    Examples
    --------
    >>> two = summarise(np.array([0, 3_599_000_000]), np.array([3, 3]))
    >>> one = as_one_slice(two, _EPOCH)
    >>> one.slices.tolist(), one.cells.tolist(), one.counts.tolist()
    ([0], [3], [2])
    """
    return _summed(_slice_at(start) * _OF_SLICE + found.keys % _OF_SLICE, found.counts)


def stream(name: str) -> Additive[CellCounts]:
    """Return the stream of this name that holds counts by cell."""
    return Additive(
        name=name,
        to_bytes=to_bytes,
        from_many=from_many,
        added=added,
        split=_by_hour,
        level=Level.SLICE,
        whole=as_one_slice,
        is_published=True,
    )


def bins_of(slices: Ints, window: Window, width: timedelta) -> Ints:
    """Return which part of a window each slice lies in, shape (slice,).

    Parameters
    ----------
    slices : (slice,)
        Since 1970, inside of the window.
    window, width
        Cut into parts so wide, a multiple of `SLICE`.
    """
    return (slices - _slice_at(window.start)) // (width // SLICE)


def table(found: CellCounts, window: Window, width: timedelta) -> Ints:
    """Return the counts of each part of a window, shape (part, STRIDE).

    Parameters
    ----------
    found
        What was counted; what lies outside of the window is left out.
    window, width
        Cut into parts so wide, a multiple of `SLICE`.

    Examples
    --------
    >>> hour = timedelta(hours=1)
    >>> found = summarise(np.array([3_600_000_001]), np.array([7]))
    >>> table(found, Window(_EPOCH, _EPOCH + 2 * hour), hour)[:, 7].tolist()
    [0, 1]
    """
    inside, n = found.within(window), (window.end - window.start) // width
    at = bins_of(inside.slices, window, width) * STRIDE + inside.cells
    summed = np.bincount(at, inside.counts, minlength=n * STRIDE)
    return summed.astype(np.int64).reshape(n, STRIDE)


def _slice_at(at: datetime) -> int:
    return (at - _EPOCH) // SLICE
