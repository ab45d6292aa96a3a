"""Read each source of monitors, once for all slots of a stretch of event time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar, cast

from sqlalchemy.orm import Session

from core.durations import DAY
from core.schema.zone import UTC_ZONE, Zone
from core.window import Window, midnight
from db.queries import models
from db.queries.log import row_counters
from db.queries.summary_rows import SummaryRows, Wanted
from db.tables import Model
from monitors.baselines.first_days import reference_of
from monitors.baselines.segments import INPUT_BY_SEGMENT
from monitors.data_quality.data_quality import LOOK_BACK_WEEKS
from monitors.data_quality.flaws import DayVolume
from monitors.kind import RECENT, EvaluationContext, Source
from monitors.slo.serving import SERVING
from monitors.sources import (
    ContractViolations,
    DailyErrors,
    ErrorsBySegment,
    Outputs,
    Probabilities,
    RecentInput,
    Residuals,
    SelfReference,
    Violations,
    Volume,
    WindowProfiles,
)
from monitors.summaries.input_history import InputHistory
from monitors.summaries.streams import INPUT
from services.aggregation import serving, window_profiles
from services.evaluation import error_history, input_history, output_history
from services.labels import error_days
from services.labels.error_days import ERRORS

WEEK = timedelta(days=7)
T = TypeVar("T")
S = TypeVar("S", bound=Source[Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The slots for which a source is read: from the end of the first to that of the last.

    `rows` holds the summaries that were read for any source, `counted` what was counted of
    days: each is read once.
    """

    model: Model
    first: datetime
    last: datetime
    champion: str | None
    rows: SummaryRows
    zone: Zone = UTC_ZONE
    counted: dict[Window, tuple[int, dict[str, int]]] = field(default_factory=dict)

    @property
    def session(self) -> Session:
        """The open transaction."""
        return self.rows.session

    def back(self, duration: timedelta) -> Window:
        """Return all slots, and so much time before the first."""
        return Window(self.zone.later(self.first, -duration), self.last)


Cut = Callable[[EvaluationContext], T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader(Generic[S]):
    """How one type of source is read.

    Attributes
    ----------
    read
        Reads it for all slots; what it returns gives the part of one slot.
    wanted
        The rows of summaries that it reads, to be read with those of others; what is not
        known before others are read is left out.
    references
        The days that later slots are measured against, beside the references of versions.
    """

    read: Callable[[Reading, S], Cut[Any]]
    wanted: Callable[[Reading, S], Sequence[Wanted]] = lambda *_: ()
    references: Callable[[Session, Model, S], list[Window]] = lambda *_: []


def _rows_of_input(reading: Reading, source: RecentInput) -> Sequence[Wanted]:
    windows = (reading.back(source.look_back),)
    streams = [INPUT, INPUT_BY_SEGMENT] if source.by_segment else [INPUT]
    return [Wanted(stream, windows) for stream in streams]


def _input(reading: Reading, source: RecentInput) -> Cut[Any]:
    window = reading.back(source.look_back)
    whole = input_history.load(
        reading.session,
        reading.model,
        window,
        by_segment=source.by_segment,
        rows=reading.rows,
    )
    if reading.first == reading.last:
        return lambda _: whole
    _ = whole.hours  # laid out once: each slot gets a view

    def cut(context: EvaluationContext) -> InputHistory:
        end = context.zone.local(context.as_of)
        return whole.within(Window(end - source.look_back, end))

    return cut


def _outputs(reading: Reading, source: Outputs) -> Cut[Any]:
    found = None
    if reading.champion is not None:
        found = output_history.load(
            reading.session, reading.model, reading.champion, source, reading.back(RECENT)
        )
    return lambda _: found


def _profiles(reading: Reading, source: WindowProfiles) -> Cut[Any]:
    found = None
    if reading.champion is not None:
        lately = reading.zone.locally(reading.back(source.look_back))
        found = window_profiles.load(
            reading.session, reading.model.id, reading.champion, source, lately
        )
    return lambda _: found


def _rows_of_errors(reading: Reading, source: DailyErrors) -> Sequence[Wanted]:
    contract, policy = reading.model.contract, reading.model.policy
    first, last = (
        error_history.matured_at(at, reading.zone, contract, policy)
        for at in (reading.first, reading.last)
    )
    return [Wanted(ERRORS, (Window(midnight(first) - source.n_days * DAY, midnight(last)),))]


def _errors(reading: Reading, source: DailyErrors) -> Cut[Any]:
    (wanted,) = _rows_of_errors(reading, source)
    days = error_days.laid_out(
        reading.rows.rows(wanted.stream, wanted.windows), reading.model.contract
    )
    return lambda context: error_history.daily(days, context, source.n_days)


def _self_reference(load: Callable[..., Any]) -> Callable[[Reading, SelfReference], Cut[Any]]:
    def read(reading: Reading, source: SelfReference) -> Cut[Any]:
        return lambda context: load(
            reading.session,
            reading.model,
            context.champion,
            source,
            error_history.matured(context),
        )

    return read


def _served_lately(reading: Reading, _: Volume | ContractViolations) -> Sequence[Wanted]:
    return [Wanted(SERVING, (reading.back(RECENT),))]


def _served(reading: Reading) -> Callable[[Window], int]:
    """Return what counts the rows that all versions together served in a window."""
    every = reading.rows.by_version(SERVING, reading.back(RECENT))
    return lambda window: sum(serving.n_within(own, window) for own in every.values())


def _violations(reading: Reading, _: ContractViolations) -> Cut[Any]:
    n_rows = _served(reading)
    return lambda context: Violations(
        is_silent=not n_rows(context.last_day), counts=_counted(reading, context)[1]
    )


def _counted(reading: Reading, context: EvaluationContext) -> tuple[int, dict[str, int]]:
    """Read how many rows of an event day repeat an id, and how many broke the contract.

    The latter are counted by day of UTC, of which those are read that ended with the event
    day: each is evaluated once, when it is over.
    """
    day = context.last_day
    if day not in reading.counted:
        start, end = (UTC_ZONE.floor(at) for at in (day.start, day.end))
        # In London none ends on the day on which clocks go forward.
        refused = Window(start, end) if start < end else None
        reading.counted[day] = row_counters.of_day(
            reading.session, reading.model.id, context.zone.day_of(day.start), refused
        )
    return reading.counted[day]


def _volume(reading: Reading, _: Volume) -> Cut[Any]:
    n_rows = _served(reading)
    return lambda context: _of_day(reading, n_rows, context)


def _of_day(
    reading: Reading, n_rows: Callable[[Window], int], context: EvaluationContext
) -> DayVolume:
    """Read the rows of one event day, and of the days before that the calendar likens to it.

    Rows of the reference are no measure of how many should come: a whole day
    of it may be one row.
    """
    day, zone = context.last_day, context.zone
    date, (n_repeated, refused) = zone.day_of(day.start), _counted(reading, context)
    before = context.contract.calendar.alike(date, LOOK_BACK_WEEKS * WEEK.days)
    return DayVolume(
        n_rows=n_rows(day),
        baseline=tuple(n_rows(zone.bounds(one)) for one in before),
        n_duplicates=n_repeated,
        refused=refused,
    )


def _own_reader(load: Callable[..., Any]) -> Reader[Any]:
    return Reader(read=_self_reference(load), references=error_history.references)


def _first_outputs(session: Session, model: Model, source: Outputs) -> list[Window]:
    zone = models.zone_of(model)
    firsts = output_history.began(session, model.id).values()
    return [zone.instants(_first_days(source, zone.local(first))) for first in firsts]


def _first_profiles(session: Session, model: Model, source: WindowProfiles) -> list[Window]:
    zone = models.zone_of(model)
    firsts = window_profiles.firsts(session, model.id)
    return [zone.instants(_first_days(source, first)) for first in firsts]


def _first_days(source: Outputs | WindowProfiles, first: datetime) -> Window:
    return reference_of(source, first, first + 2 * timedelta(days=source.reference_days))


READERS: Mapping[type[Source[Any]], Reader[Any]] = {
    RecentInput: Reader(read=_input, wanted=_rows_of_input),
    Outputs: Reader(read=_outputs, references=_first_outputs),
    WindowProfiles: Reader(read=_profiles, references=_first_profiles),
    DailyErrors: Reader(read=_errors, wanted=_rows_of_errors),
    Residuals: _own_reader(error_history.load),
    Probabilities: _own_reader(error_history.load_probabilities),
    ErrorsBySegment: _own_reader(error_history.load_segments),
    ContractViolations: Reader(read=_violations, wanted=_served_lately),
    Volume: Reader(read=_volume, wanted=_served_lately),
}


def reader(source: Source[T]) -> Reader[Source[T]]:
    """Return how a source is read."""
    return cast(Reader[Source[T]], READERS[type(source)])
