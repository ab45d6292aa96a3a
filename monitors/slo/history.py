"""History of an SLI: counts of events as prefix sums, coarser with their age."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from core.durations import DAY, HOUR, MINUTE
from monitors.slo.cells import SLICE
from monitors.summaries.summary import Ints

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FINE = 6 * HOUR + 10 * MINUTE  # how long ten seconds are kept: windows of up to six hours
MEDIUM, MEDIUM_WIDTH = 3 * DAY + HOUR, 5 * MINUTE  # then hours
GOOD, BAD, UNKNOWN = range(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """Events of some time; slices of time that count by their share are rounded."""

    good: int
    bad: int
    unknown: int


def slice_at(at: datetime) -> int:
    """Return the slice of ten seconds that holds an instant, counted since 1970."""
    return (at - _EPOCH) // SLICE


def time_of(number: int) -> datetime:
    """Return when a slice begins."""
    return _EPOCH + number * SLICE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """Good, bad and unknown events before the end of each part; a part has at least one.

    The first part has none: it is where the history begins.

    Attributes
    ----------
    ends : (part,)
        The slice after the last of each part, ascending.
    sums : (part, 3)
        Good, bad and unknown events in all slices before that.
    """

    ends: Ints
    sums: Ints

    @property
    def n_bytes(self) -> int:
        """Of memory."""
        return int(self.ends.nbytes + self.sums.nbytes)

    @property
    def end(self) -> int:
        """The slice after the newest event; where the history begins if there is none."""
        return int(self.ends[-1])

    def first(self, since: int) -> int | None:
        """Return the end of the first part with events that ends after a slice."""
        place = int(np.searchsorted(self.ends, since, side="right"))
        place = max(place, 1)
        return int(self.ends[place]) if place < self.ends.size else None

    def before(self, end: int) -> tuple[int, int, int]:
        """Return the good, bad and unknown events of all parts that end by a slice."""
        place = int(self.ends.searchsorted(end, side="right")) - 1
        good, bad, unknown = self.sums[max(place, 0)].tolist()
        return good, bad, unknown

    def within(self, first: int, end: int) -> tuple[int, int, int]:
        """Return the good, bad and unknown events of `[first, end)`.

        A part in which the window begins, one that is older than six hours, is counted whole.

        Examples
        --------
        >>> one = of_slices(np.array([0, 3, 9]), np.array([[2, 0, 0], [0, 1, 0], [4, 0, 1]]))
        >>> one.within(3, 9), one.within(0, 10)
        ((0, 1, 0), (6, 1, 1))
        """
        since, until = self.before(first), self.before(end)
        return until[0] - since[0], until[1] - since[1], until[2] - since[2]

    def replaced(self, first: int, end: int, new: "History") -> "History":
        """Return the history with the slices `[first, end)` of another.

        What is newer is corrected by the difference.

        Parameters
        ----------
        first, end
            Bounds of whole hours.
        new
            Of these slices alone.

        Examples
        --------
        >>> one = of_slices(np.array([0, 3, 9]), np.array([[2, 0, 0], [0, 1, 0], [4, 0, 1]]))
        >>> late = of_slices(np.array([3, 4]), np.array([[0, 3, 0], [5, 0, 0]]))
        >>> one.replaced(3, 9, late).within(0, 10)
        (11, 3, 1)
        """
        if first < self.ends[0]:
            if self.sums[0].any():  # beyond what is kept
                return self
            begun = np.concatenate([[first], self.ends[1:]])
            return History(ends=begun, sums=self.sums).replaced(first, end, new)
        low = max(int(self.ends.searchsorted(first, side="right")), 1)
        high = max(int(self.ends.searchsorted(end, side="right")), low)
        base = self.sums[low - 1]
        gone = self.sums[high - 1] - base
        return History(
            ends=np.concatenate([self.ends[:low], new.ends[1:], self.ends[high:]]),
            sums=np.concatenate(
                [self.sums[:low], base + new.sums[1:], self.sums[high:] + new.sums[-1] - gone]
            ),
        )

    def coarsened(self, keep: timedelta, pins: Sequence[int] = ()) -> "History":
        """Return the history with wider parts where it is old, and without what is too old.

        Parts have ten seconds for six hours, five minutes for three days, then an hour.

        Parameters
        ----------
        keep
            How far before its end it is kept.
        pins
            Slices at which a part ends that holds both: periods and corrections begin there.

        Examples
        --------
        >>> hours = np.arange(0, 400 * 360, 10)
        >>> long = of_slices(hours, np.tile([1, 0, 0], (hours.size, 1)))
        >>> short = long.coarsened(10 * DAY)
        >>> long.ends.size, short.ends.size
        (14401, 1206)
        >>> short.within(long.end - 2160, long.end) == long.within(long.end - 2160, long.end)
        True
        """
        newest, at = self.end, self.ends - 1
        block = at.copy()
        for age, width in ((FINE, MEDIUM_WIDTH // SLICE), (MEDIUM, HOUR // SLICE)):
            n_old = int(at.searchsorted((newest - age // SLICE) // width * width))
            block[:n_old] = (at[:n_old] // width + 1) * width - 1
        pinned = np.sort(np.array([*pins, np.iinfo(np.int64).max]))
        limit = pinned[np.searchsorted(pinned, self.ends)]
        ends = np.minimum(block + 1, limit)
        ends[0] = self.ends[0]
        is_last = np.append(ends[1:] != ends[:-1], True)
        n_gone = int(ends.searchsorted(newest - keep // SLICE, side="right")) - 1
        if n_gone > 0:
            is_last[:n_gone] = False
            is_last[n_gone] = True
        return History(ends=ends[is_last], sums=self.sums[is_last])


def of_slices(slices: Ints, counts: Ints) -> History:
    """Return the history of some slices.

    Parameters
    ----------
    slices : (slice,)
        Since 1970, ascending, each once.
    counts : (slice, 3)
        Good, bad and unknown events.
    """
    first = slices[:1] if slices.size else np.zeros(1, dtype=np.int64)
    sums = np.zeros((slices.size + 1, 3), dtype=np.int64)
    np.cumsum(counts, axis=0, out=sums[1:])
    return History(ends=np.concatenate([first, slices + 1]), sums=sums)


EMPTY = of_slices(np.zeros(0, dtype=np.int64), np.zeros((0, 3), dtype=np.int64))
