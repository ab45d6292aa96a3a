"""What an SLO reads, and the events of a window under its rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction

import numpy as np

from core.window import Window
from monitors.slo.cells import SLICE
from monitors.slo.history import BAD, GOOD, UNKNOWN, History, slice_at, time_of
from monitors.slo.objective import Method
from monitors.slo.sli import NoData
from monitors.summaries.summary import Floats, Ints

SCALE = 1_000_000  # of a slice that counts by its share of bad events: whole millionths


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SliReading:
    """Events by an SLI.

    Attributes
    ----------
    total
        Of all versions: what users were served.
    newest
        After the newest event that was folded; None before any.
    now
        Wall time.
    versions, segments
        By name; of the last three days.
    corrections
        Stretches whose bad events count as good.
    n_failed
        Predictions of the newest hours on which the SLI failed.
    rev
        Another one when anything but `newest` and `now` changed.
    """

    total: History
    newest: datetime | None
    now: datetime
    versions: Mapping[str, History] = field(default_factory=dict)
    segments: Mapping[str, History] = field(default_factory=dict)
    corrections: Sequence[Window] = ()
    n_failed: int = 0
    rev: int = 0

    def is_stale(self, longest: timedelta) -> bool:
        """Return whether nothing has come for too long, by the wall clock."""
        return self.newest is not None and self.now - self.newest >= longest


def budgeted(
    slices: Ints, counts: Ints, method: Method, width: timedelta, target: float
) -> tuple[Ints, Ints]:
    """Return what the budget is made of: events, or slices of time.

    Parameters
    ----------
    slices : (slice,)
        Of ten seconds, ascending.
    counts : (slice, 3)
        Good, bad and unknown events.
    method, width, target
        As in the parameters of an SLO.

    Returns
    -------
    slices : (part,)
        Where each part begins.
    counts : (part, 3)
        Good, bad and unknown; of a slice that counts by its share in millionths.

    Examples
    --------
    >>> found = budgeted(np.array([0, 5, 6]), np.array([[9, 1, 0], [9, 1, 0], [0, 0, 3]]),
    ...     Method.TIME_SLICES, timedelta(minutes=1), 0.95)
    >>> [part.tolist() for part in found]
    [[0, 6], [[0, 1, 0], [0, 0, 1]]]
    """
    if method is Method.OCCURRENCES or not slices.size:
        return slices, counts
    n = width // SLICE
    begins = slices // n * n
    first = np.flatnonzero(np.diff(begins, prepend=-1))
    sums = np.add.reduceat(counts, first, axis=0)
    known = sums[:, GOOD] + sums[:, BAD]
    found = np.zeros_like(sums)
    if method is Method.TIME_SLICES:
        limit = Fraction(str(target))
        is_good = sums[:, GOOD] * limit.denominator >= known * limit.numerator
        found[:, GOOD], found[:, BAD] = is_good & (known > 0), ~is_good
        found[:, UNKNOWN] = known == 0
    else:
        found[:, BAD] = np.rint(SCALE * sums[:, BAD] / np.maximum(known, 1))
        found[:, GOOD] = np.where(known > 0, SCALE - found[:, BAD], 0)
        found[:, UNKNOWN] = np.where(known > 0, 0, SCALE)
    return begins[first], found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Missing:
    """How time without events is counted.

    Attributes
    ----------
    is_bad
        As bad, else as good.
    per_slice
        What each ten seconds without events count; of time slices a part of one.
    since
        The slice from which on they are missing; of time slices None: wherever one is.
    """

    is_bad: bool
    per_slice: Fraction
    since: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """Events of windows under the rules of one SLO; unknown ones count as good.

    Attributes
    ----------
    end
        The slice after the newest that counts.
    scale
        What one event, or slice of time, counts.
    """

    history: History
    end: int
    scale: int = 1
    corrections: Sequence[tuple[int, int]] = ()
    missing: Missing | None = None

    @classmethod
    def of(
        cls,
        reading: SliReading,
        as_of: datetime,
        method: Method,
        missing: Missing | None = None,
    ) -> "Counted":
        """Return the events of a reading up to an instant of event time."""
        bounds = [(slice_at(part.start), end_of(part.end)) for part in reading.corrections]
        return cls(
            history=reading.total,
            end=end_of(as_of),
            scale=SCALE if method is Method.RATIO_TIME_SLICES else 1,
            corrections=bounds,
            missing=missing,
        )

    def within(self, first: int, end: int) -> tuple[int, int, int]:
        """Return the good, bad and unknown events of the slices `[first, end)`."""
        good, bad, unknown = self.history.within(first, end)
        for start, stop in self.corrections:
            low, high = max(first, start), min(end, stop)
            if low < high:
                corrected = self.history.within(low, high)[BAD]
                good, bad = good + corrected, bad - corrected
        if self.missing is not None:
            n = self._missing(first, end, good + bad + unknown)
            good, bad = (good, bad + n) if self.missing.is_bad else (good + n, bad)
        return good, bad, unknown

    def _missing(self, first: int, end: int, known: int) -> int:
        assert self.missing is not None
        if self.missing.since is None:
            every = int((end - max(first, self.began)) * self.missing.per_slice * self.scale)
            return max(every - known, 0)
        n = end - max(first, self.missing.since)
        return max(int(n * self.missing.per_slice), 0)

    @property
    def began(self) -> int:
        """The slice of the first event; the end where there is none."""
        ends = self.history.ends
        return min(int(ends[1]) - 1, self.end) if ends.size > 1 else self.end

    def last(self, window: timedelta) -> tuple[int, int, int]:
        """Return the good, bad and unknown events of the newest time.

        Time before the first event counts as good, with the traffic since: the first minutes
        of a model are no window of three days.
        """
        first = self.end - window // SLICE
        good, bad, unknown = self.within(first, self.end)
        n_before = self.began - first
        if 0 < n_before < self.end - first:
            total = good + bad + unknown
            good += total * n_before // (self.end - self.began)
        return good, bad, unknown

    def since(self, starts: Ints) -> tuple[Floats, Floats]:
        """Return bad and all events from some slices on, shape (start,); nothing corrected.

        Time before the first event counts as in `last`.
        """
        ends, sums, began = self.history.ends, self.history.sums, self.began
        places = np.maximum(ends.searchsorted(starts, side="right") - 1, 0)
        newest = self.history.before(self.end)
        rows = sums.take(places, axis=0)
        bad = (newest[BAD] - rows[:, BAD]).astype(np.float64)
        total = sum(newest) - (rows[:, GOOD] + rows[:, BAD] + rows[:, UNKNOWN])
        if starts.min() >= began:
            return bad, total.astype(np.float64)
        every = float(sum(newest) - sums[0].sum())
        return bad, total + np.maximum(began - starts, 0) * (every / max(self.end - began, 1))

    @property
    def end_at(self) -> datetime:
        """When the newest slice ends."""
        return time_of(self.end)


def end_of(at: datetime) -> int:
    """Return the slice after the one that holds the time before an instant."""
    return slice_at(at - timedelta.resolution) + 1


def no_data_of(
    reading: SliReading, rule: NoData, *, is_stale: bool, width: timedelta | None
) -> Missing | None:
    """Return how time without events is counted; None where it is not.

    Parameters
    ----------
    reading
        The events.
    rule
        Of the SLO.
    is_stale
        Whether nothing has come for too long: then as many events are missing as there were
        in the six hours before.
    width
        Of a slice of time; None where events count.
    """
    if rule not in (NoData.GOOD, NoData.BAD):
        return None
    is_bad = rule is NoData.BAD
    if width is not None:
        return Missing(is_bad=is_bad, per_slice=Fraction(1, width // SLICE))
    if not is_stale or not is_bad:
        return None
    newest, n = reading.total.end, timedelta(hours=6) // SLICE
    served = sum(reading.total.within(newest - n, newest))
    return Missing(is_bad=True, per_slice=Fraction(served, n), since=newest)
