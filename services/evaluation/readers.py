"""Read each source of monitors, once for all slots of a stretch of event time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.schema.zone import UTC_ZONE, Zone
from core.window import Window
from db.queries import models, summaries
from db.queries.log import contract_violations, row_counters
from db.tables import Model
from monitors.baselines.first_days import reference_of
from monitors.data_quality.data_quality import LOOK_BACK_WEEKS
from monitors.data_quality.flaws import DayVolume
from monitors.kind import RECENT, EvaluationContext, Source
from monitors.slo import sli
from monitors.slo.burn_rate import SLICE
from monitors.slo.cells import CellCounts, merged
from monitors.slo.sli import SliUnit
from monitors.slo.slices import Counts, Slices
from monitors.sources import (
    ContractViolations,
    DailyErrors,
    ErrorsBySegment,
    Outputs,
    Probabilities,
    RecentInput,
    Residuals,
    SelfReference,
    SliSlices,
    Violations,
    Volume,
    WindowProfiles,
)
from monitors.summaries.input_history import InputHistory
from services.aggregation import segments, serving, window_profiles
from services.evaluation import error_history, input_history, output_history

WEEK = timedelta(days=7)
T = TypeVar("T")
S = TypeVar("S", bound=Source[Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The slots for which a source is read: from the end of the first to that of the last."""

    session: Session
    model: Model
    first: datetime
    last: datetime
    champion: str | None
    zone: Zone = UTC_ZONE

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
    references
        The days that later slots are measured against, beside the references of versions.
    """

    read: Callable[[Reading, S], Cut[Any]]
    references: Callable[[Session, Model, S], list[Window]] = lambda *_: []


def _input(reading: Reading, source: RecentInput) -> Cut[Any]:
    window = reading.back(source.look_back)
    whole = input_history.load(
        reading.session, reading.model, window, by_segment=source.by_segment
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


def _errors(reading: Reading, source: DailyErrors) -> Cut[Any]:
    return lambda context: error_history.daily(
        reading.session, reading.model, context, source.n_days
    )


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


def _slices(reading: Reading, source: SliSlices) -> Cut[Any]:
    kind = sli.find(source.sli)
    window = Window(reading.first - source.period, reading.last)
    found = summaries.by_version(reading.session, kind.stream, reading.model.id, window)

    def count(part: CellCounts) -> Counts:
        return kind.count(part, source.params, window, SLICE)

    versions = {name: count(own) for name, own in found.items()}
    is_sum = kind.unit is SliUnit.PREDICTIONS or len(found) < 2
    whole = None if is_sum and not source.by_segment else merged([*found.values()])
    together = None if is_sum or whole is None else count(whole)
    by_segment: dict[str, Counts] = {}
    if source.by_segment and whole is not None:
        contract = reading.model.contract
        label = segments.label(reading.session, reading.model.id, contract)
        places = np.unique(whole.places).tolist()
        by_segment = {label(place): count(whole.of_place(place)) for place in places}

    def cut(context: EvaluationContext) -> Slices:
        end = (context.as_of - window.start) // SLICE
        part = np.s_[end - source.period // SLICE : end]
        return Slices(
            width=SLICE,
            versions={name: own.cut(part) for name, own in versions.items()},
            segments={name: own.cut(part) for name, own in by_segment.items()},
            n_failed=sum(own.within(context.last_day).n_failed for own in found.values()),
            together=None if together is None else together.cut(part),
        )

    return cut


def _violations(reading: Reading, _: ContractViolations) -> Cut[Any]:
    session, model_id = reading.session, reading.model.id
    return lambda context: Violations(
        is_silent=not serving.n_rows(session, model_id, context.last_day),
        counts=_refused(session, model_id, context.last_day),
    )


def _refused(session: Session, model_id: UUID, day: Window) -> dict[str, int]:
    """Read the rows that broke the contract on the days of UTC that ended with a day.

    They are counted by day of UTC: each of these is evaluated once, when it is over.
    """
    start, end = (UTC_ZONE.floor(at) for at in (day.start, day.end))
    if start == end:  # in London, on the day on which clocks go forward
        return {}
    return contract_violations.of_days(session, model_id, Window(start, end))


def _volume(reading: Reading, _: Volume) -> Cut[Any]:
    return lambda context: _of_day(reading.session, reading.model.id, context)


def _of_day(session: Session, model_id: UUID, context: EvaluationContext) -> DayVolume:
    """Read the rows of one event day, and of the days before that the calendar likens to it.

    Rows of the reference are no measure of how many should come: a whole day
    of it may be one row.
    """
    day, zone = context.last_day, context.zone
    date = zone.day_of(day.start)
    before = context.contract.calendar.alike(date, LOOK_BACK_WEEKS * WEEK.days)
    return DayVolume(
        n_rows=serving.n_rows(session, model_id, day),
        baseline=tuple(serving.n_rows(session, model_id, zone.bounds(one)) for one in before),
        n_duplicates=row_counters.repeated_on(session, model_id, date),
        refused=_refused(session, model_id, day),
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
    RecentInput: Reader(read=_input),
    Outputs: Reader(read=_outputs, references=_first_outputs),
    WindowProfiles: Reader(read=_profiles, references=_first_profiles),
    DailyErrors: Reader(read=_errors),
    Residuals: _own_reader(error_history.load),
    Probabilities: _own_reader(error_history.load_probabilities),
    ErrorsBySegment: _own_reader(error_history.load_segments),
    SliSlices: Reader(read=_slices),
    ContractViolations: Reader(read=_violations),
    Volume: Reader(read=_volume),
}


def reader(source: Source[T]) -> Reader[Source[T]]:
    """Return how a source is read."""
    return cast(Reader[Source[T]], READERS[type(source)])
