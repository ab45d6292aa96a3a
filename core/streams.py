"""Streams of summaries: an hour or a day of event time of a version in each row.

Whoever fills a stream defines it; storage knows no more of it than its name, its bytes and
the level of its rows. A row that is older than its retention is rolled up to a coarser level.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar

from core.durations import DAY, Duration, to_text
from core.errors import Unprocessable

T = TypeVar("T")
LATE = 7 * DAY  # rows that come so late are still evaluated again
_ENDLESS = timedelta.max


class Level(StrEnum):
    """Width of the parts of a summary, in event time.

    SLICE is ten seconds; GRAIN is the model's grain, where that is below an hour.
    """

    SLICE = "slice"
    GRAIN = "grain"
    HOUR = "hour"
    DAY = "day"

    @property
    def finer(self) -> tuple["Level", ...]:
        """The levels that are rolled up to this one; slices and grains are apart.

        Examples
        --------
        >>> [level.value for level in Level.HOUR.finer]
        ['slice', 'grain']
        """
        order = [*Level]
        return () if self is Level.GRAIN else tuple(order[: order.index(self)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream(Generic[T]):
    """A stream whose rows are written whole.

    Attributes
    ----------
    name
        In the database: it never changes.
    to_bytes
        What is stored, which begins with the number of its format.
    from_bytes
        Returns what `to_bytes` wrote.
    is_published
        Whether changed rows are marked for the open tables.
    """

    name: str
    to_bytes: Callable[[T], bytes]
    from_bytes: Callable[[bytes], T]
    is_published: bool = False

    @property
    def level(self) -> Level:
        """Of its rows: they are written whole where a day is joined with its labels."""
        return Level.DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Additive(Generic[T]):
    """A stream whose rows are added to, as predictions come.

    Attributes
    ----------
    name
        In the database: it never changes.
    to_bytes
        What is stored of one row, which begins with the number of its format.
    from_many
        Returns the summary of everything in some rows, at least one.
    added
        Returns rows with what was seen added to each: one alone costs little less than many.
    split
        Cuts a summary into its rows, each with its start.
    level
        Of its rows as they are added.
    whole
        Returns a summary as one part that begins at a moment, by which rows are rolled up
        to a coarser level. None where another stream holds what is coarser: rows that are
        no longer kept are deleted.
    is_published
        Whether changed rows are marked for the open tables.
    """

    name: str
    to_bytes: Callable[[T], bytes]
    from_many: Callable[[Sequence[bytes]], T]
    added: Callable[[Sequence[tuple[bytes, T]]], list[bytes]]
    split: Callable[[T], Iterable[tuple[datetime, T]]]
    level: Level = Level.HOUR
    whole: Callable[[T, datetime], T] | None = None
    is_published: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """How far back a monitor reads summaries of a level."""

    back: timedelta
    monitor: str

    @property
    def kept(self) -> timedelta:
        """How long they must be kept."""
        return self.back + LATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long summaries are kept at each level, in event time.

    Attributes
    ----------
    slice
        Counts of the SLIs by ten seconds; then they are rolled up to hours.
    grain
        Input at a grain below an hour, which is also kept by hour; then it is deleted.
    hour
        All by hour, but for references, which stay; then they are rolled up to days.
    day
        Then they are deleted; None keeps them for ever.
    """

    slice: Duration = 14 * DAY
    grain: Duration = 14 * DAY
    hour: Duration = 400 * DAY
    day: Duration | None = None

    def __post_init__(self) -> None:
        if not max(self.slice, self.grain) <= self.hour <= (self.day or _ENDLESS):
            raise ValueError(
                "summaries of slices and grains must not be kept longer than those of hours, "
                "and these not longer than those of days"
            )

    def of(self, stated: Mapping[Level, timedelta], needs: Mapping[Level, Need]) -> "Retention":
        """Return the retention of a model.

        The default of a level is extended where monitors read more, or where a finer level
        is kept longer, and cut to what is stated of a coarser one.

        Parameters
        ----------
        stated
            By its policy.
        needs
            What its monitors read.

        Examples
        --------
        >>> needs = {Level.SLICE: Need(back=30 * DAY, monitor="availability")}
        >>> kept = Retention().of({Level.GRAIN: 500 * DAY}, needs)
        >>> kept.slice.days, kept.grain.days, kept.hour.days, kept.day
        (37, 500, 500, None)
        """
        most = min(stated.get(level, _ENDLESS) for level in (Level.HOUR, Level.DAY))
        found: dict[Level, timedelta] = {}
        for level, default in (
            (Level.SLICE, self.slice),
            (Level.GRAIN, self.grain),
            (Level.HOUR, self.hour),
            (Level.DAY, self.day or _ENDLESS),
        ):
            least = max([default, *(found[finer] for finer in level.finer)])
            if level in needs:
                least = max(least, needs[level].kept)
            bound = _ENDLESS if level is Level.DAY else most
            found[level] = stated.get(level, min(least, bound))
        day = found[Level.DAY]
        return Retention(
            slice=found[Level.SLICE],
            grain=found[Level.GRAIN],
            hour=found[Level.HOUR],
            day=None if day == _ENDLESS else day,
        )


SUMMARIES = Retention()  # by default


def check(stated: Mapping[Level, timedelta], needs: Mapping[Level, Need]) -> None:
    """Refuse a retention that is shorter than what the monitors of a model read.

    Raises
    ------
    Unprocessable
        Naming the monitor that reads more.
    """
    for level, kept in stated.items():
        for of in (*level.finer, level):
            need = needs.get(of)
            if need is not None and need.kept > kept:
                least = to_text(-(-need.kept // DAY) * DAY)
                raise Unprocessable(
                    f"policy: keep_{level}_summaries must be at least {least}: monitor "
                    f"{need.monitor!r} reads {need.back / DAY:.4g} days of summaries by {of}, "
                    f"and rows may come {LATE.days} days late"
                )
