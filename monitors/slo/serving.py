"""Serving of a version: predictions, failures and latencies, ten seconds by ten seconds."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from core.errors import Unprocessable
from core.streams import Additive
from core.window import Window
from monitors.slo.slices import Counts
from monitors.summaries.summary import Bools, Floats, Ints

SLICE = timedelta(seconds=10)
PER_HOUR = timedelta(hours=1) // SLICE
_SLICE_US = SLICE // timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Ten per decade from 100 us to 1000 s: a quantile is known to within 26 %, and any two
# slices add up exactly. Bin 0 is below the first edge, the last at or above the last.
LATENCY_EDGES = np.round(np.logspace(-4, 3, 71), 9)
N_BINS = LATENCY_EDGES.size + 1

# What is counted: predictions, those that ended in an error or a time-out, those that a
# fallback served; then, by bin of the latency, all that have one, and the failures of them.
N, FAILED, DEGRADED = range(3)
LATENCY = slice(3, 3 + N_BINS)
FAILED_LATENCY = slice(LATENCY.stop, LATENCY.stop + N_BINS)
WIDTH = FAILED_LATENCY.stop

_FORMAT = 1
_HEADER = struct.Struct("<BBxxiI")  # format, bytes per count, hour since 1970, cells
_WIDTHS = (1, 2, 4, 8)
_OF_HOUR = PER_HOUR * WIDTH  # keys of one hour: they fit in two bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Served:
    """Counts of one version; what was counted 0 times is left out.

    Attributes
    ----------
    keys : (cell,)
        `slice * WIDTH + column`, slices counted since 1970; ascending, each once.
    counts : (cell,)
        Predictions, at least one.
    """

    keys: Ints
    counts: Ints

    @property
    def hours(self) -> Ints:
        """The hours since 1970 in which anything was served, ascending, each once."""
        return np.unique(self.keys // _OF_HOUR)

    @property
    def last(self) -> datetime:
        """The start of the last slice."""
        return _EPOCH + int(self.keys[-1]) // WIDTH * SLICE


def summarise(at: Ints, failed: Bools, degraded: Bools, latency: Floats) -> Served:
    """Count predictions.

    Parameters
    ----------
    at : (prediction,)
        Event times, in microseconds since 1970.
    failed, degraded : (prediction,)
        What came of them.
    latency : (prediction,)
        Seconds; NaN where none was given.

    Examples
    --------
    >>> none = np.array([False, False])
    >>> served = summarise(np.array([0, 5]), none, none, np.array([0.1, np.nan]))
    >>> served.counts.tolist()
    [2, 1]
    """
    first = at // _SLICE_US * WIDTH
    there = np.isfinite(latency)
    bins = np.searchsorted(LATENCY_EDGES, latency[there], side="right")
    of_failures = failed[there]
    keys = [
        first + N,
        first[failed] + FAILED,
        first[degraded] + DEGRADED,
        first[there] + LATENCY.start + bins,
        first[there][of_failures] + FAILED_LATENCY.start + bins[of_failures],
    ]
    cells, counts = np.unique(np.concatenate(keys), return_counts=True)
    return Served(keys=cells, counts=counts)


def to_bytes(served: Served) -> bytes:
    """Return the counts of one hour: two bytes for each place, as few as do for counts."""
    hour = int(served.keys[0]) // _OF_HOUR
    width = next(w for w in _WIDTHS if int(served.counts.max()) < 1 << (8 * w))
    places = (served.keys - hour * _OF_HOUR).astype("<u2")
    header = _HEADER.pack(_FORMAT, width, hour, served.keys.size)
    return header + places.tobytes() + served.counts.astype(f"<u{width}").tobytes()


def from_many(blobs: Sequence[bytes]) -> Served:
    """Return all that was counted in some hours, of any versions.

    Raises
    ------
    Unprocessable
        If one is of another format, or cut short.
    """
    keys, counts = [], []
    for blob in blobs:
        try:
            version, width, hour, n = _HEADER.unpack_from(blob)
            if version != _FORMAT:
                raise Unprocessable(f"serving is stored in format {version}, not {_FORMAT}")
            places = np.frombuffer(blob, "<u2", n, _HEADER.size)
            counts.append(np.frombuffer(blob, f"<u{width}", n, _HEADER.size + 2 * n))
        except (struct.error, ValueError) as error:
            raise Unprocessable(f"serving is cut short: {error}") from None
        keys.append(places.astype(np.int64) + hour * _OF_HOUR)
    return _summed(np.concatenate(keys), np.concatenate(counts).astype(np.int64))


def _summed(keys: Ints, counts: Ints) -> Served:
    if (np.diff(keys) > 0).all():
        return Served(keys=keys, counts=counts)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    return Served(keys=keys[first], counts=np.add.reduceat(counts[order], first))


def _by_hour(served: Served) -> Iterable[tuple[datetime, Served]]:
    for hour in served.hours.tolist():
        low, high = np.searchsorted(served.keys, [hour * _OF_HOUR, (hour + 1) * _OF_HOUR])
        part = Served(keys=served.keys[low:high], counts=served.counts[low:high])
        yield _EPOCH + timedelta(hours=hour), part


SERVING = Additive(name="serving", to_bytes=to_bytes, from_many=from_many, split=_by_hour)


def table(served: Served, window: Window, width: timedelta) -> Ints:
    """Return the counts of each cell of a window, shape (cell, WIDTH).

    Parameters
    ----------
    served
        What was served; what lies outside of the window is left out.
    window, width
        Cut into cells so wide, a multiple of `SLICE`.

    Examples
    --------
    >>> none, hour = np.array([False]), timedelta(hours=1)
    >>> served = summarise(np.array([3_600_000_001]), none, none, np.array([np.nan]))
    >>> table(served, Window(_EPOCH, _EPOCH + 2 * hour), hour)[:, N].tolist()
    [0, 1]
    """
    cells, inside, n_cells = _cells(served, window, width)
    at = cells * WIDTH + served.keys[inside] % WIDTH
    summed = np.bincount(at, served.counts[inside], minlength=n_cells * WIDTH)
    return summed.astype(np.int64).reshape(n_cells, WIDTH)


def counts(
    served: Served, window: Window, width: timedelta, slower_than: float | None = None
) -> Counts:
    """Return how many predictions were good and bad in each cell of a window.

    Parameters
    ----------
    served, window, width
        As in `table`.
    slower_than
        Seconds. None asks for availability: a failure is bad, all others are good.
        Else a prediction is good when it succeeded and took no longer, bad when it
        failed or took longer, and unknown when it has no latency. Taken up to the
        next edge of `LATENCY_EDGES`, at most 26 % above it.
    """
    good, bad, known = np.zeros((3, WIDTH), dtype=np.int64)
    known[N] = 1
    if slower_than is None:
        good[[N, FAILED]], bad[FAILED] = [1, -1], 1
    else:
        slow = slow_bin(slower_than)
        good[LATENCY][:slow], bad[LATENCY][slow:] = 1, 1
        good[FAILED_LATENCY][:slow], bad[FAILED_LATENCY][:slow] = -1, 1
    cells, inside, n_cells = _cells(served, window, width)
    columns, n = served.keys[inside] % WIDTH, served.counts[inside]
    n_good, n_bad, n_all = (
        np.bincount(cells, n * weight[columns], minlength=n_cells).astype(np.int64)
        for weight in (good, bad, known)
    )
    return Counts(good=n_good, bad=n_bad, unknown=n_all - n_good - n_bad)


def slow_bin(seconds: float) -> int:
    """Return the first bin of `LATENCY_EDGES` that is slower than a limit."""
    return int(np.searchsorted(LATENCY_EDGES, seconds)) + 1


def _cells(served: Served, window: Window, width: timedelta) -> tuple[Ints, slice, int]:
    """Return the cell of each count inside of a window, where those lie, and how many cells."""
    first, end = (window.start - _EPOCH) // SLICE, (window.end - _EPOCH) // SLICE
    low, high = np.searchsorted(served.keys, [first * WIDTH, end * WIDTH])
    inside = slice(int(low), int(high))
    cells = (served.keys[inside] // WIDTH - first) // (width // SLICE)
    return cells, inside, (window.end - window.start) // width


def quantile(latency: Ints, level: float) -> float | None:
    """Return the geometric middle of the bin that holds the quantile, in seconds.

    Parameters
    ----------
    latency : (bin,)
        Predictions per bin of `LATENCY_EDGES`.
    level
        From 0 to 1.

    Returns
    -------
    float or None
        None where there are no predictions.
    """
    reached = np.cumsum(latency)
    if reached[-1] == 0:
        return None
    place = int(np.searchsorted(reached, level * reached[-1]))
    low = LATENCY_EDGES[max(place - 1, 0)]
    high = LATENCY_EDGES[min(place, len(LATENCY_EDGES) - 1)]
    return float(np.sqrt(low * high))
