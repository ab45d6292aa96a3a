"""Read what is evaluated by grain and by clock: as it is now, not day by day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.durations import DAY, MINUTE
from core.schema.contract import Contract
from core.schema.zone import UTC_ZONE, Zone
from core.window import Window
from db.queries import sources, summaries
from db.queries.log import contract_violations
from db.tables import EntityState, Model
from monitors.slo import silence
from monitors.slo.cells import SLICE
from monitors.slo.silence import ARRIVALS, ArrivalHistory, ArrivalProfile, SilentEntity
from monitors.sources import (
    Arrivals,
    ContractViolations,
    InputGrains,
    InputsByEntity,
    PulledSources,
    Violations,
)
from services.aggregation import entities
from services.evaluation import input_history
from services.sources import states


@dataclass(slots=True)
class Remembered:
    """What a process remembers of what it has read of one model."""

    profile: tuple[datetime, ArrivalProfile | None] | None = None
    longest_interval: tuple[timedelta, timedelta] | None = None
    entities: EntityState | None = None  # held, so that a session reads it once


@dataclass(slots=True)
class Arrived:
    """The last prediction of a model, and when this process saw it, by the monotonic clock.

    Wall clocks are set, and a process that did not run has seen nothing: neither is silence.
    `is_new` is false of the one that was there when the process began.
    """

    last_at: datetime
    seen_at: float
    is_new: bool

    def age(self, at: float) -> timedelta:
        """Return for how long nothing has come since, by the monotonic clock."""
        return timedelta(seconds=at - self.seen_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a source is read, by all clocks.

    Attributes
    ----------
    as_of
        Event time, or wall time of what is evaluated by the clock.
    age
        For how long nothing has come; None where nothing ever has.
    is_certain
        Something has come since this process runs.
    uptime
        For how long it runs.
    today
        By the wall clock, in UTC.
    """

    as_of: datetime
    age: timedelta | None
    is_certain: bool
    uptime: timedelta
    today: date


def read(
    session: Session, model: Model, source: object, moment: Moment, remembered: Remembered
) -> object:
    """Read one source of a monitor that is evaluated by grain or by clock.

    Raises
    ------
    TypeError
        If it can be read day by day alone.
    """
    match source:
        case InputGrains():
            contract, as_of = model.contract, moment.as_of
            window = Window(as_of - source.n_grains * contract.grain, as_of)
            return input_history.grains(session, model, contract, window)
        case Arrivals():
            return _arrivals(session, model, moment, remembered)
        case InputsByEntity():
            remembered.entities = session.get(EntityState, model.id)
            return entities.inputs(remembered.entities)
        case PulledSources():
            return states.states(session, model.id, moment.as_of, moment.uptime)
        case ContractViolations():
            return _violations(session, model, moment.today)
        case _:
            raise TypeError(f"{type(source).__name__} is read day by day alone")


def open_since(model: Model, as_of: datetime) -> datetime:
    """Return the start of the first day, of UTC, that has not been evaluated yet."""
    return UTC_ZONE.floor(min(model.evaluated_until or as_of, as_of - timedelta.resolution))


def _arrivals(
    session: Session, model: Model, moment: Moment, remembered: Remembered
) -> ArrivalHistory:
    now, before = moment.as_of, remembered.profile
    if before is None or now - before[0] >= (DAY if before[1] is not None else MINUTE):
        before = remembered.profile = (now, _profile(session, model.id, model.contract, now))
    gone, n_entities = list[SilentEntity](), 0
    if model.watermark is not None:
        remembered.entities = session.get(EntityState, model.id)
        gone, n_entities = entities.silent(remembered.entities, model.watermark)
    age, known = moment.age, remembered.longest_interval
    if age is not None:  # rows that are pulled come up to an interval late
        if known is None or moment.uptime - known[0] >= MINUTE:
            known = moment.uptime, sources.longest_interval(session, model.id)
            remembered.longest_interval = known
        age = max(age - known[1], timedelta(0))
    return ArrivalHistory(
        now=now,
        age=age,
        is_certain=moment.is_certain,
        profile=before[1],
        silent=gone,
        n_entities=n_entities,
    )


def _profile(
    session: Session, model_id: UUID, contract: Contract, now: datetime
) -> ArrivalProfile | None:
    # What came after now came while the clock was ahead.
    arrived = summaries.read(session, ARRIVALS, model_id, [Window(now - silence.KEPT, now)])
    if arrived is None:
        return None
    week = silence.Week(zone=Zone(contract.zone), calendar=contract.calendar)
    return silence.profile(np.unique(arrived.slices), SLICE, week)


def _violations(session: Session, model: Model, today: date) -> Violations:
    """Read the worst of the days that have not been evaluated yet, by event time or today.

    Where all rows are refused event time stands, and the days that they name never close. A
    row without a usable time counts on the day on which it came, which event time may reach
    much later: it is a finding on that day alone.
    """
    since = None if model.evaluated_until is None else UTC_ZONE.floor(model.evaluated_until)
    by_day: Mapping[date, Mapping[str, int]] = contract_violations.since(
        session, model.id, None if since is None else since.date()
    )
    newest = today if model.watermark is None else UTC_ZONE.day_of(model.watermark)
    open_days = [counts for day, counts in by_day.items() if day <= newest or day == today]
    worst = max(open_days, key=lambda counts: sum(counts.values()), default={})
    return Violations(is_silent=False, counts=worst)
