"""Read what the monitors of a model need for each slot of a stretch of event time."""

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.streams import Level
from core.window import Stretches, Window
from db.queries import models
from db.tables import Model, Monitor
from monitors import registry
from monitors.context_features import without
from monitors.detail import Detail
from monitors.kind import EvaluationContext, MonitorKind, Source
from monitors.sources import reads
from monitors.summaries.input_history import InputHistory
from services.aggregation.levels import rolled_up_in
from services.alerting import inhibition
from services.evaluation import input_history
from services.evaluation.baseline_cache import Baselines, Key
from services.evaluation.readers import Cut, Reading, reader
from services.models import monitor_config
from services.platform_faults.outage import is_outage

log = logging.getLogger(__name__)

_REMEDY = "seqwatch rebuild restores them from the log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One monitor, with all that its evaluation reads.

    Attributes
    ----------
    kind, params
        None where `error` holds why it cannot be evaluated.
    values
        What its sources gave.
    key
        Under which its fitted baseline is remembered; None where it fits none.
    reference
        What it is to be fitted on, unless its baseline is remembered.
    state
        The part of its finding before that it reads.
    rolled_up
        Which summaries it would need that are no longer kept; empty where there are all.
    """

    monitor_id: UUID
    kind: MonitorKind[Any, Any] | None = None
    params: Any = None
    values: Mapping[Hashable, object] = field(default_factory=dict)
    key: Key | None = None
    reference: InputHistory | None = None
    before: Detail | None = None
    rolled_up: str = ""
    error: Exception | None = None


class Preparation:
    """Reads each source once for all slots and all monitors.

    Parameters
    ----------
    session
        The open transaction; needed until the last slot is prepared.
    model
        Which model.
    baselines
        What has been fitted before.
    slots
        The ends of the first and of the last slot.
    champion
        The version that serves.
    """

    def __init__(
        self,
        session: Session,
        model: Model,
        baselines: Baselines,
        slots: tuple[datetime, datetime],
        champion: str | None,
    ) -> None:
        self._reading = Reading(
            session=session,
            model=model,
            first=slots[0],
            last=slots[1],
            champion=champion,
            zone=models.zone_of(model),
        )
        self._baselines = baselines
        self._cuts: dict[Source[Any], Cut[Any]] = {}
        self._references: dict[tuple[Stretches, bool], InputHistory] = {}
        self._rolled_up: dict[tuple[Level, timedelta], datetime | None] = {}

    def slot(self, monitors: Sequence[Monitor], context: EvaluationContext) -> list[Prepared]:
        """Prepare every monitor for one slot.

        A monitor that cannot be prepared has an error of its own; a database that cannot be
        read is everybody's.
        """
        values: dict[Source[Any], object] = {}
        return [self._guarded(monitor, context, values) for monitor in monitors]

    def _guarded(
        self,
        monitor: Monitor,
        context: EvaluationContext,
        values: dict[Source[Any], object],
    ) -> Prepared:
        try:
            return self._prepare(monitor, context, values)
        except Exception as error:
            # After a failed statement PostgreSQL reads nothing more in this transaction.
            if isinstance(error, SQLAlchemyError) or is_outage(error):
                raise
            log.exception("monitor %s failed", monitor.id)
            return Prepared(monitor_id=monitor.id, error=error)

    def _prepare(
        self,
        monitor: Monitor,
        context: EvaluationContext,
        values: dict[Source[Any], object],
    ) -> Prepared:
        kind, params = registry.find(monitor.kind), monitor_config.params_of(monitor)
        sources = kind.sources(params)
        for source in sources:
            if source not in values:
                values[source] = self._cut(source)(context)
        key, unread = self._baselines.key(kind, params, context), kind.unread(context.contract)
        missing = [] if key is None else [self._missing_reference(key)]
        missing += [self._missing(source, context) for source in sources]
        before: Detail | None = None
        if kind.state is not None:
            before = inhibition.newest_detail(self._reading.session, monitor, context.as_of)
        return Prepared(
            monitor_id=monitor.id,
            kind=kind,
            params=params,
            values={source: without(values[source], unread) for source in sources},
            key=key,
            reference=None if key is None else without(self._reference(key), unread),
            before=before,
            rolled_up=next(filter(None, missing), ""),
        )

    def _missing(self, source: Source[Any], context: EvaluationContext) -> str:
        """Return which summaries of a source were rolled up that the slot needs."""
        read = reads(source, context.contract, context.policy)
        if read is None or read[0] is Level.DAY:
            return ""
        level, back = read
        if read not in self._rolled_up:
            window = Window(self._reading.first - back, self._reading.last)
            self._rolled_up[read] = rolled_up_in(
                self._reading.session, self._reading.model.id, level, window
            )
        newest = self._rolled_up[read]
        if newest is None or newest < context.as_of - back:
            return ""
        return f"summaries by {level} up to {newest:%Y-%m-%d} were rolled up; {_REMEDY}"

    def _missing_reference(self, key: Key) -> str:
        if self._baselines.has(key):
            return ""
        session, model_id = self._reading.session, self._reading.model.id
        if not any(rolled_up_in(session, model_id, Level.HOUR, of) for of in key.reference):
            return ""
        return f"summaries by hour of the reference were rolled up; {_REMEDY}"

    def _cut(self, source: Source[Any]) -> Cut[Any]:
        if source not in self._cuts:
            self._cuts[source] = reader(source).read(self._reading, source)
        return self._cuts[source]

    def _reference(self, key: Key) -> InputHistory | None:
        if self._baselines.has(key):
            return None
        which = (key.reference, key.by_segment)
        if which not in self._references:
            self._references[which] = input_history.load(
                self._reading.session,
                self._reading.model,
                *key.reference,
                by_segment=key.by_segment,
            )
        return self._references[which]


def prepare(
    session: Session,
    model: Model,
    monitors: Sequence[Monitor],
    context: EvaluationContext,
    baselines: Baselines,
) -> list[Prepared]:
    """Prepare monitors for one slot."""
    slots = (context.as_of, context.as_of)
    return Preparation(session, model, baselines, slots, context.champion).slot(
        monitors, context
    )
