"""Roll-up of summaries: what is older than its retention is merged into the coarser level.

Slices become hours and hours become days; input by grain is deleted, as it is kept by hour
too; days go at their end. A row is replaced in the transaction that reads it, under the lock
that a fold takes: a run that is killed is done again, and counts nothing twice. Rows that
come late for what was rolled up are merged into it by the next run.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.schema.rows import Kind, Stage
from core.schema.zone import Zone
from core.streams import Additive, Level, Retention
from core.window import Window
from db.queries import models, summaries
from db.queries.log import positions
from db.queries.summaries import AnyStream, Stored
from db.session import read_only, unit_of_work
from db.tables import Model
from monitors.slo.silence import ARRIVALS
from services.aggregation import folded
from services.evaluation.reevaluate import references
from services.labels import label_join
from services.models import monitor_config
from services.platform_faults.set_aside import work_through

log = logging.getLogger(__name__)

T = TypeVar("T")
Whole: TypeAlias = Callable[[T, datetime], T]

STEP = timedelta(days=7)  # of one stream, in one transaction
_BEGIN = datetime(1000, 1, 1, tzinfo=UTC)  # before any row


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be rolled up of one model.

    Attributes
    ----------
    windows
        By level: whole days of local time whose rows of this level are kept no longer.
    """

    model_id: UUID
    zone: Zone
    windows: Mapping[Level, Sequence[Window]]


def roll_up_all(sessions: sessionmaker[Session], defaults: Retention, now: datetime) -> int:
    """Roll up the summaries of every model; how many rows are fewer.

    A model whose summaries cannot be rolled up is set aside; all others go on.
    """
    with read_only(sessions) as session:
        found = session.scalars(select(Model.id).order_by(Model.id)).all()

    def act(model_id: UUID, _: Kind) -> int:
        return roll_up(sessions, defaults, model_id)

    streams = [(model_id, Kind.PREDICTIONS) for model_id in found]
    return work_through(sessions, Stage.ROLL_UP, streams, act, now, turns=1)


def roll_up(sessions: sessionmaker[Session], defaults: Retention, model_id: UUID) -> int:
    """Roll up the summaries of a model, a week of a stream at a time; how many rows are fewer.

    Parameters
    ----------
    sessions
        Opens transactions, one for each week of a stream.
    defaults
        For what the policy of the model leaves open.
    model_id
        Whose summaries.
    """
    with read_only(sessions) as session:
        model = session.get_one(Model, model_id)
        plan = _plan(session, model, defaults)
        joined = label_join.streams_of(model.contract)
    if plan is None:
        return 0
    n_rows = sum(_delete(sessions, plan, stream, Level.DAY) for stream in joined)
    for stream in (*folded.streams(), ARRIVALS):
        if stream.whole is not None:
            n_rows += _roll_up(sessions, plan, stream, stream.whole)
        last = Level.GRAIN if stream.level is Level.GRAIN else Level.DAY
        n_rows += _delete(sessions, plan, stream, last)
    if n_rows:
        log.info("model %s: %d rows of summaries fewer", model_id, n_rows)
    return n_rows


def _plan(session: Session, model: Model, defaults: Retention) -> Plan | None:
    if model.watermark is None or model.evaluated_until is None:
        return None  # no evaluation has read them yet
    monitors = monitor_config.of_models(session, [model.id])[model.id]
    kept = monitor_config.retention_of(model, monitors, defaults)
    zone, end = models.zone_of(model), min(model.watermark, model.evaluated_until)
    compared = references(session, model)
    return Plan(
        model_id=model.id,
        zone=zone,
        windows={
            Level.SLICE: _outside([], zone, end - kept.slice),
            Level.GRAIN: _outside([], zone, end - kept.grain),
            Level.HOUR: _outside(compared, zone, end - kept.hour),
            Level.DAY: [] if kept.day is None else _outside(compared, zone, end - kept.day),
        },
    )


def _outside(references: Iterable[Window], zone: Zone, end: datetime) -> list[Window]:
    """Return the whole days before a moment that no reference touches."""
    found, start, end = list[Window](), _BEGIN, zone.floor(end)
    for one in sorted(references, key=lambda one: one.start):
        if start < (until := min(zone.floor(one.start), end)):
            found.append(Window(start, until))
        start = max(start, zone.bounds(zone.day_of(one.end - timedelta.resolution)).end)
    return [*found, Window(start, end)] if start < end else found


def _roll_up(
    sessions: sessionmaker[Session], plan: Plan, stream: Additive[T], whole: Whole[T]
) -> int:
    """Merge rows by slice into rows by hour, and these into rows by day."""
    n_rows = 0
    steps = [(Level.SLICE, Level.HOUR), (Level.HOUR, Level.DAY)]
    for level, to in steps if stream.level is Level.SLICE else steps[1:]:
        for window in _weeks(sessions, plan, stream, level):
            with _locked(sessions, plan) as session:
                before = summaries.rows(session, [stream], plan.model_id, [window])
                after = rolled_up(stream, whole, before, to, plan.zone)
                of = session, [stream], plan.model_id, window, after
                summaries.replace(*of, is_change=False)
            n_rows += len(before) - len(after)
    return n_rows


def rolled_up(
    stream: Additive[T], whole: Whole[T], rows: Sequence[Stored], to: Level, zone: Zone
) -> list[Stored]:
    """Return rows of which none is finer than a level: what is finer is merged.

    Parameters
    ----------
    stream, whole
        Whose rows, and how they are merged.
    rows
        All of some whole days of local time.
    to
        HOUR or DAY.
    zone
        Of these days.
    """
    groups: dict[tuple[datetime, str], list[Stored]] = defaultdict(list)
    for row in rows:
        start = zone.floor(row.start) if to is Level.DAY else row.start
        groups[start, row.version].append(row)
    found: list[Stored] = []
    for (start, version), of in groups.items():
        if len(of) == 1 and of[0].level not in to.finer:
            found += of
            continue
        merged = whole(stream.from_many([row.payload for row in of]), start)
        found.append(Stored(stream.name, start, version, stream.to_bytes(merged), to))
    return found


def _delete(
    sessions: sessionmaker[Session], plan: Plan, stream: AnyStream, level: Level
) -> int:
    n_rows = 0
    for window in _weeks(sessions, plan, stream, level):
        with _locked(sessions, plan) as session:
            n_rows += summaries.forget(session, plan.model_id, [stream], window)
    return n_rows


@contextmanager
def _locked(sessions: sessionmaker[Session], plan: Plan) -> Iterator[Session]:
    """Open a transaction in which no row is folded."""
    with unit_of_work(sessions) as session:
        positions.locked(session, plan.model_id, Kind.PREDICTIONS)
        yield session


def _weeks(
    sessions: sessionmaker[Session], plan: Plan, stream: AnyStream, level: Level
) -> Iterator[Window]:
    """Yield whole days with rows of a level that is kept no longer, at most a week each."""
    for window in plan.windows[level]:
        if stream.level is Level.DAY:  # their rows begin at midnight of local time
            window = plan.zone.locally(window)
        start = window.start
        while start < window.end:
            rest = Window(start, window.end)
            with read_only(sessions) as session:
                first = summaries.first_of_levels(
                    session, [stream], plan.model_id, rest, [level]
                )
            if first is None:
                break
            day = max(plan.zone.floor(first), window.start)
            start = min(plan.zone.later(day, STEP), window.end)
            yield Window(day, start)
