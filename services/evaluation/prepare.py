"""Read what the monitors of a model need for each slot of a stretch of event time."""

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from core.streams import Level
from core.window import Stretches, Window
from db.queries import models
from db.queries.summary_rows import Wanted
from db.tables import Monitor
from monitors import registry
from monitors.context_features import without
from monitors.detail import Detail
from monitors.kind import EvaluationContext, MonitorKind, Source
from monitors.sources import reads
from monitors.summaries.input_history import InputHistory
from services.aggregation.levels import newest_rolled_up, rolled_up_in
from services.alerting import inhibition
from services.evaluation import input_history
from services.evaluation.baseline_cache import Baselines, Key
from services.evaluation.evaluation_context import Subject
from services.evaluation.readers import Cut, Reading, reader
from services.models import monitor_config
from services.platform_faults.outage import is_outage

log = logging.getLogger(__name__)

T = TypeVar("T")
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
    before
        The detail of its finding before.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """One monitor, with what it declares to read."""

    monitor: Monitor
    kind: MonitorKind[Any, Any]
    params: Any
    sources: Sequence[Source[Any]]
    wanted: Sequence[Wanted]


class Preparation:
    """Reads each source once for all slots and all monitors.

    Parameters
    ----------
    of
        Which model; its transaction is needed until the last slot is prepared.
    baselines
        What has been fitted before.
    slots
        The ends of the first and of the last slot.
    champion
        The version that serves.
    """

    def __init__(
        self,
        of: Subject,
        baselines: Baselines,
        slots: tuple[datetime, datetime],
        champion: str | None,
    ) -> None:
        self._reading = Reading(
            model=of.model,
            first=slots[0],
            last=slots[1],
            champion=champion,
            rows=of.rows,
            zone=models.zone_of(of.model),
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
        declared = [_guarded(monitor, partial(self._declared, monitor)) for monitor in monitors]
        self._fetch([one for one in declared if isinstance(one, _Declared)])
        befores = self._befores(monitors, context)
        values: dict[Source[Any], object] = {}
        prepared = [
            _guarded(one.monitor, partial(self._prepare, one, context, values, befores))
            if isinstance(one, _Declared)
            else one
            for one in declared
        ]
        self._reading.rows.forget()  # what later slots need is in the cuts
        return prepared

    def _declared(self, monitor: Monitor) -> "_Declared":
        kind, params = registry.find(monitor.kind), monitor_config.params_of(monitor)
        sources = kind.sources(params)
        wanted = [
            row
            for source in sources
            if source not in self._cuts
            for row in reader(source).wanted(self._reading, source)
        ]
        return _Declared(
            monitor=monitor, kind=kind, params=params, sources=sources, wanted=wanted
        )

    def _fetch(self, declared: Sequence["_Declared"]) -> None:
        """Read the rows of all monitors, and which of them were rolled up."""
        self._reading.rows.fetch(wanted for one in declared for wanted in one.wanted)
        model, first, last = self._reading.model, self._reading.first, self._reading.last
        read = {
            of
            for one in declared
            for source in one.sources
            if (of := reads(source, model.contract, model.policy)) and of[0] is not Level.DAY
        }
        missing = {of: Window(first - of[1], last) for of in read if of not in self._rolled_up}
        self._rolled_up |= newest_rolled_up(self._reading.session, model.id, missing)

    def _befores(
        self, monitors: Sequence[Monitor], context: EvaluationContext
    ) -> Mapping[UUID, Detail]:
        """Read the newest findings of those monitors that read them."""
        known = [(monitor, registry.KINDS.get(monitor.kind)) for monitor in monitors]
        reading = [monitor for monitor, kind in known if kind is not None and kind.state]
        return inhibition.newest_details(self._reading.session, reading, context.as_of)

    def _prepare(
        self,
        one: "_Declared",
        context: EvaluationContext,
        values: dict[Source[Any], object],
        befores: Mapping[UUID, Detail],
    ) -> Prepared:
        kind, params, sources = one.kind, one.params, one.sources
        for source in sources:
            if source not in values:
                values[source] = self._cut(source)(context)
        key, unread = self._baselines.key(kind, params, context), kind.unread(context.contract)
        missing = [] if key is None else [self._missing_reference(key)]
        missing += [self._missing(source, context) for source in sources]
        return Prepared(
            monitor_id=one.monitor.id,
            kind=kind,
            params=params,
            values={source: without(values[source], unread) for source in sources},
            key=key,
            reference=None if key is None else without(self._reference(key), unread),
            before=befores.get(one.monitor.id),
            rolled_up=next(filter(None, missing), ""),
        )

    def _missing(self, source: Source[Any], context: EvaluationContext) -> str:
        """Return which summaries of a source were rolled up that the slot needs."""
        read = reads(source, context.contract, context.policy)
        if read is None or read[0] is Level.DAY:
            return ""
        level, back = read
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


def _guarded(monitor: Monitor, act: Callable[[], T]) -> T | Prepared:
    try:
        return act()
    except Exception as error:
        # After a failed statement PostgreSQL reads nothing more in this transaction.
        if isinstance(error, SQLAlchemyError) or is_outage(error):
            raise
        log.exception("monitor %s failed", monitor.id)
        return Prepared(monitor_id=monitor.id, error=error)


def prepare(of: Subject, context: EvaluationContext, baselines: Baselines) -> list[Prepared]:
    """Prepare the monitors that are evaluated day by day for one slot."""
    slots = (context.as_of, context.as_of)
    preparation = Preparation(of, baselines, slots, context.champion)
    return preparation.slot(monitor_config.by_day(of.monitors), context)
