"""Sources of rows: one that stops, fails, or changes its columns.

A source has stopped when it was read and gave no row for longer than it may: between its last
row and its last pull, so that a platform that was down, or a clock that is set, stops none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from core.durations import DAY
from core.window import Window
from monitors.detail import Detail
from monitors.finding import Finding, in_words

FEWEST = 10  # arrivals, before their gaps mean anything
OVERDUE = timedelta(minutes=15)  # at least, after which a pull does not just take its time
_MAX_NAMED = 5  # in the sentence for people; the detail has all


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceParams:
    """Parameters of `source`.

    Attributes
    ----------
    longer
        How many times as long as between its rows before a source may give none.
    failures
        How many pulls in a row have to fail.
    """

    longer: float = 2.0
    failures: int = 3

    def __post_init__(self) -> None:
        if self.longer < 1 or self.failures < 1:
            raise ValueError("longer and failures must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """One source at one moment; all times are wall time.

    Attributes
    ----------
    every
        Between two pulls.
    expect_within
        Longest time without a row; None for that of its own arrivals.
    since
        When it was defined.
    row_at, pulled_at
        When rows last came, and when it was last read; None before the first.
    arrivals
        When rows came, at most one moment an hour, oldest first.
    n_failures, error
        Failed pulls in a row, and why the last failed.
    changed
        How its mapped columns differ from those of the first page; empty if they do not.
    new_columns
        Columns that came since the first page.
    overdue
        For how long a pull has been due.
    """

    name: str
    every: timedelta
    expect_within: timedelta | None
    since: datetime
    row_at: datetime | None
    pulled_at: datetime | None
    arrivals: tuple[datetime, ...] = ()
    n_failures: int = 0
    error: str = ""
    changed: str = ""
    new_columns: tuple[str, ...] = ()
    overdue: timedelta = timedelta(0)

    def limit(self, longer: float) -> timedelta | None:
        """Return how long it may give no row; None while too little has arrived.

        Examples
        --------
        >>> from datetime import UTC
        >>> nights = tuple(datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 12))
        >>> def state(*arrivals):
        ...     return SourceState(name="s", every=timedelta(hours=1), expect_within=None,
        ...         since=nights[0], row_at=None, pulled_at=None, arrivals=arrivals)
        >>> str(state(*nights).limit(2.0)), state(*nights[:5]).limit(2.0)
        ('2 days, 1:00:00', None)
        """
        if self.expect_within is not None:
            return self.expect_within
        if len(self.arrivals) < FEWEST or self.arrivals[-1] - self.arrivals[0] < DAY:
            return None
        gaps = zip(self.arrivals, self.arrivals[1:], strict=False)
        return longer * max(after - before for before, after in gaps) + self.every


class SourceFaultKind(StrEnum):
    """What is wrong with a source."""

    COLUMNS = "columns"
    FAILING = "failing"
    OVERDUE = "overdue"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFault:
    """A source, and what is wrong with it."""

    source: str
    fault: SourceFaultKind


class SourceDetail(Detail, frozen=True):
    """Sources at fault; columns that came since the first page, by source."""

    sources: tuple[SourceFault, ...] = ()
    new_columns: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


def evaluate(states: Sequence[SourceState], params: SourceParams, now: datetime) -> Finding:
    """Evaluate one moment.

    Parameters
    ----------
    states : (source,)
        The sources of a model that are enabled.
    params
        The parameters.
    now
        Wall time.

    Returns
    -------
    Finding
        `value` is how many sources have a fault.

    Examples
    --------
    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 8, 12, tzinfo=UTC)
    >>> state = SourceState(name="bills", every=timedelta(hours=1), since=noon,
    ...     expect_within=timedelta(hours=2), row_at=noon, pulled_at=noon + timedelta(hours=3))
    >>> evaluate([state], SourceParams(), noon + timedelta(hours=3)).cause
    'bills: no row for 3 h; at most 2 h expected'
    """
    found = [(one, *fault) for one in states if (fault := _fault(one, params)) is not None]
    causes = [f"{one.name}: {text}" for one, _, text in found[:_MAX_NAMED]]
    if len(found) > _MAX_NAMED:
        causes.append(f"{len(found) - _MAX_NAMED} more")
    since = [one.row_at or one.since for one, _, _ in found]
    window = Window(min([*since, now - timedelta.resolution]), now)
    detail = SourceDetail(
        sources=tuple(SourceFault(source=one.name, fault=fault) for one, fault, _ in found),
        new_columns={one.name: one.new_columns for one in states if one.new_columns},
    )
    return Finding.of(float(len(found)), 0.0, window, "; ".join(causes), detail)


def _fault(one: SourceState, params: SourceParams) -> tuple[SourceFaultKind, str] | None:
    if one.changed:
        return SourceFaultKind.COLUMNS, one.changed
    if one.n_failures >= params.failures:
        return SourceFaultKind.FAILING, f"{one.n_failures} pulls have failed: {one.error}"
    if one.overdue > max(OVERDUE, one.every):
        return SourceFaultKind.OVERDUE, f"a pull has been due for {in_words(one.overdue)}"
    limit = one.limit(params.longer)
    if limit is not None and one.pulled_at is not None:
        age = one.pulled_at - (one.row_at or one.since)
        if age > limit:
            expected = f"at most {in_words(limit)} expected"
            return SourceFaultKind.STOPPED, f"no row for {in_words(age)}; {expected}"
    return None
