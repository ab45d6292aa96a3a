"""Good, bad and unknown events per slice of event time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from monitors.summaries.summary import Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """Events per slice of event time, the oldest first.

    Attributes
    ----------
    good, bad, unknown : (slice,)
        By the SLI; unknown are those without what it is about.
    """

    good: Ints
    bad: Ints
    unknown: Ints

    @classmethod
    def zeros(cls, n: int) -> "Counts":
        """Return so many slices without events."""
        return cls(**{name: np.zeros(n, dtype=np.int64) for name in cls.__slots__})

    def cut(self, part: slice) -> "Counts":
        """Return some of the slices."""
        return Counts(good=self.good[part], bad=self.bad[part], unknown=self.unknown[part])

    def sums(self, part: slice) -> tuple[int, int, int]:
        """Return how many of some slices were good, bad and unknown."""
        return (
            int(self.good[part].sum()),
            int(self.bad[part].sum()),
            int(self.unknown[part].sum()),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slices:
    """Counts per slice of event time, without gaps; the last slice ends at `as_of`.

    Attributes
    ----------
    width
        Of one slice.
    versions
        By version, all over the same slices.
    segments
        By label of the segment, of all versions; none where they were not asked for.
    n_failed
        Predictions of the last day that are unknown because the SLI failed.
    together
        Of all versions where that is not their sum: a slice of time counts once.
    total
        Of all versions: what users were served.
    """

    width: timedelta
    versions: Mapping[str, Counts]
    segments: Mapping[str, Counts] = field(default_factory=dict)
    n_failed: int = 0
    together: Counts | None = None
    total: Counts = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.together or self._sum())

    def _sum(self) -> Counts:
        parts = [*self.versions.values()] or [Counts.zeros(0)]
        return Counts(
            good=np.sum([part.good for part in parts], axis=0),
            bad=np.sum([part.bad for part in parts], axis=0),
            unknown=np.sum([part.unknown for part in parts], axis=0),
        )

    def newest(self, as_of: datetime) -> datetime | None:
        """Return the end of the newest slice with an event; None where there is none."""
        total = self.total
        there = np.flatnonzero(total.good + total.bad + total.unknown)
        if not there.size:
            return None
        return as_of - (len(total.good) - 1 - int(there[-1])) * self.width

    def trailing(
        self, duration: timedelta, n_evaluations: int
    ) -> tuple[Sequence[int], Sequence[int]]:
        """Return bad and total of the window that ends with each of the last slices."""
        n = max(1, duration // self.width)
        total, sums = self.total, []
        for counts in (total.bad, total.bad + total.good):
            running = np.concatenate([[0], np.cumsum(counts)])
            ends = np.arange(max(1, len(counts) - n_evaluations + 1), len(counts) + 1)
            sums.append((running[ends] - running[np.maximum(ends - n, 0)]).tolist())
        return sums[0], sums[1]

    def last(self, duration: timedelta) -> slice:
        """Return the place of the newest slices."""
        return slice(-max(1, duration // self.width), None)
