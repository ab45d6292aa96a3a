"""Evaluation of what cannot wait for the event day to close: by grain, and by the clock.

A finding is stored when it differs from the one before it by more than its numbers, and
once a day. Grains that closed together are evaluated as one, with the newest. The baseline is
fitted on the days before, and not on those since an alert fires; it is kept in memory.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.errors import Unprocessable
from core.schema.contract import Contract
from core.window import Window
from db.queries import models
from db.queries.log import late_hours
from db.session import read_only, unit_of_work
from db.tables import Alert, Model, Monitor
from db.tables import Finding as FindingRow
from monitors import registry
from monitors.context_features import without
from monitors.finding import Finding, Outcome
from monitors.kind import EvaluationContext, Inputs, Interval, MonitorKind
from monitors.sources import FITTED_ON, SliSlices
from services.alerting import alert_transitions
from services.alerting.alert_transitions import Seen
from services.evaluation import input_history
from services.evaluation.by_clock import readers
from services.evaluation.by_clock.readers import Arrived, Moment, Remembered, open_since
from services.evaluation.by_clock.signature import Signature, basis, signed
from services.evaluation.by_clock.sli_histories import SliHistories
from services.evaluation.evaluate_monitor import concluded
from services.models import monitor_config
from services.platform_faults.outage import described, is_outage

log = logging.getLogger(__name__)

CLOCK_EVERY = timedelta(seconds=10)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Built once: they are executed every second, and with every grain.
_MODELS = select(Model).where(Model.id.in_(bindparam("ids", expanding=True)))
_CLOSE = (
    update(Model)
    .where(Model.id == bindparam("model_id"))
    .values(checked_until=bindparam("closed"))
    .execution_options(synchronize_session=False)
)
_VERDICTS = (Outcome.OK, Outcome.BREACH)


@dataclass(slots=True)
class _Known:
    """What this process remembers of one model; nothing of it is lost with it."""

    fits: dict[UUID, tuple[Signature, Any]] = field(default_factory=dict)
    remembered: Remembered = field(default_factory=Remembered)
    arrived: Arrived | None = None
    watermark: datetime | None = None
    clock_at: float = -np.inf
    last: dict[UUID, Signature] = field(default_factory=dict)
    settled: dict[UUID, Signature] = field(default_factory=dict)

    @property
    def is_clock_due(self) -> bool:
        """Whether what is evaluated by the clock is due."""
        return monotonic() - self.clock_at >= CLOCK_EVERY.total_seconds()

    def is_settled(self, one: "_Prepared") -> bool:
        """Whether a monitor was evaluated on the basis that it has now."""
        return one.basis is not None and self.settled.get(one.monitor_id) == one.basis


class LiveMonitors:
    """Evaluates the monitors of all models that are due; call it often.

    Parameters
    ----------
    sessions
        Opens transactions; none is open while a monitor is evaluated.
    """

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions
        self._known: dict[UUID, _Known] = {}
        self._slis, self._slis_at = SliHistories(), monotonic()
        self._unread: set[UUID] = set()
        self._began = monotonic()

    def run(self, now: datetime) -> int:
        """Evaluate what is due; how many findings were stored.

        A model whose monitors cannot be evaluated stops no other.
        """
        with read_only(self._sessions) as session:
            monitors = monitor_config.live(session)
            found = session.scalars(_MODELS, {"ids": [*monitors]}).all()
            session.expunge_all()
        self._known = {model.id: self._known.get(model.id, _Known()) for model in found}
        self._refresh(found, monitors)
        n_stored = 0
        for model in found:
            try:
                n_stored += self._evaluate(model, monitors[model.id], now)
            except Exception as error:
                if is_outage(error):
                    raise
                log.exception("model %s: its live monitors cannot be evaluated", model.id)
        return n_stored

    def _refresh(
        self, models: Sequence[Model], monitors: Mapping[UUID, Sequence[Monitor]]
    ) -> None:
        """Read what the SLOs read of models whose clock is due, or that are not read yet."""
        self._slis.keep(self._known)
        wanted = {
            model.id: sources
            for model in models
            if (self._known[model.id].is_clock_due or model.id in self._unread)
            and (sources := _slis_of(monitors[model.id]))
        }
        if wanted:
            if monotonic() - self._slis_at > late_hours.KEPT.total_seconds() / 2:
                self._slis = SliHistories()  # marks of late hours may be gone
            self._slis_at, self._unread = monotonic(), set()
            own = {model.id: model for model in models}
            try:
                with read_only(self._sessions) as session:
                    self._unread = self._slis.refresh(session, own, wanted)
            except Exception as error:  # the others are evaluated by the clock all the same
                if is_outage(error):
                    raise
                log.exception("the counts of SLIs cannot be read")

    def _evaluate(self, model: Model, monitors: Sequence[Monitor], now: datetime) -> int:
        known = self._known[model.id]
        last_at = model.last_arrival_at
        if last_at is not None and (known.arrived is None or known.arrived.last_at != last_at):
            known.arrived = Arrived(last_at, monotonic(), is_new=known.arrived is not None)
        is_clock_due = known.is_clock_due
        if not is_clock_due and model.watermark == known.watermark:
            return 0  # as of most calls: nothing is parsed
        known.watermark = model.watermark
        contract = model.contract
        closed = closed_until(model, contract)
        due = {
            Interval.GRAIN: closed is not None
            and contract.grain <= HOUR
            and (model.checked_until is None or closed > model.checked_until),
            Interval.CLOCK: is_clock_due,
        }
        if not any(due.values()):
            return 0
        due[Interval.DAY] = True  # of an open day: by grain and by clock
        some = [
            one
            for one in monitors
            if due[registry.stored(one.kind).interval]
            and _is_due(one, model, closed)
            and all(self._slis.is_read(model.id, source) for source in _slis_of([one]))
        ]
        if due[Interval.CLOCK]:
            known.clock_at = monotonic()
        # load
        with read_only(self._sessions) as session:
            prepared = [self._prepared(session, model, contract, m, closed, now) for m in some]

        # decide
        evaluated = [(one, _finding(one)) for one in prepared if not known.is_settled(one)]

        # save
        changed = [
            (one, finding)
            for one, finding in evaluated
            if known.last.get(one.monitor_id) != _signature(one, finding)
            and (one.kind.interval is not Interval.DAY or finding.outcome in _VERDICTS)
        ]
        n_stored = 0
        if changed or due[Interval.GRAIN]:
            with unit_of_work(self._sessions) as session:
                n_stored = sum(self._store(session, model, *each, now) for each in changed)
                if due[Interval.GRAIN]:
                    session.execute(_CLOSE, {"model_id": model.id, "closed": closed})
        for one, finding in changed:
            known.last[one.monitor_id] = _signature(one, finding)
        for one, finding in evaluated:
            if one.basis is not None and finding.outcome is not Outcome.ERROR:
                known.settled[one.monitor_id] = one.basis
        return n_stored

    def _prepared(
        self,
        session: Session,
        model: Model,
        contract: Contract,
        monitor: Monitor,
        closed: datetime | None,
        now: datetime,
    ) -> "_Prepared":
        kind, known = registry.stored(monitor.kind), self._known[model.id]
        as_of, arrived = _as_of(monitor, model, closed, now), known.arrived
        moment = Moment(
            as_of=as_of,
            age=None if arrived is None else arrived.age(monotonic()),
            is_certain=arrived is not None and arrived.is_new,
            uptime=timedelta(seconds=monotonic() - self._began),
            today=now.astimezone(UTC).date(),
        )
        context = EvaluationContext(
            model_id=str(model.id),
            contract=contract,
            policy=model.policy,
            as_of=as_of,
            champion=None,
            serving=None,
            objective=None,
        )
        one = _Prepared(monitor_id=monitor.id, kind=kind, context=context)
        try:
            one.params = monitor_config.params_of(monitor)
            for source in kind.sources(one.params):
                if isinstance(source, SliSlices):
                    reading = self._slis.reading(model, monitor.id, source, now)
                    one.basis = basis(one.params, reading, as_of, contract.zone)
                    one.values[source] = reading
                    continue
                found = readers.read(session, model, source, moment, known.remembered)
                one.values[source] = without(found, kind.unread(contract))
            if kind.fit is not None:
                one.fitted = self._fitted(session, model, monitor, one)
        except Exception as error:
            if is_outage(error):
                raise
            one.error = error
        return one

    def _fitted(
        self, session: Session, model: Model, monitor: Monitor, one: "_Prepared"
    ) -> object:
        known, contract = self._known[model.id], one.context.contract
        is_young = model.created_at > one.context.as_of - 2 * DAY or model.checked_until is None
        width = HOUR if is_young else DAY
        end = _EPOCH + (one.context.as_of - _EPOCH) // width * width
        last = known.last.get(monitor.id)
        if last is None or last[0] is Outcome.BREACH:  # nothing is learnt of an open fault
            since = select(Alert.since).where(Alert.monitor_id == monitor.id)
            firing = session.scalar(since.where(Alert.since.is_not(None)))
            end = end if firing is None else min(end, firing - HOUR)
        key: Signature = (end, str(monitor.params), one.kind.unread(contract))
        if monitor.id not in known.fits or known.fits[monitor.id][0] != key:
            before = input_history.grains(
                session, model, contract, Window(end - FITTED_ON, end)
            )
            assert one.kind.fit is not None
            fitted = one.kind.fit(one.params, without(before, one.kind.unread(contract)))
            known.fits[monitor.id] = (key, fitted)
        return known.fits[monitor.id][1]

    def _store(
        self, session: Session, model: Model, one: "_Prepared", finding: Finding, now: datetime
    ) -> int:
        monitor = session.get(Monitor, one.monitor_id)
        if monitor is None:
            return 0
        newest = session.scalar(
            select(FindingRow)
            .where(FindingRow.monitor_id == monitor.id)
            .order_by(FindingRow.as_of.desc())
            .limit(1)
        )
        as_of = one.as_of
        if newest is not None:
            if one.kind.interval is not Interval.GRAIN:  # its clock may stand, or be set back
                as_of = max(as_of, newest.as_of + timedelta.resolution)
            before = signed(
                newest.outcome, newest.cause, newest.detail, _day(one, newest.as_of)
            )
            if newest.as_of >= as_of or before == _signature(one, finding):
                return 0
        if one.kind.interval is Interval.DAY:
            finding = replace(finding, window=Window(open_since(model, as_of), as_of))
        is_history = model.history_until is not None and as_of <= model.history_until
        champion = models.champion(session, model.id)
        version = champion[1].name if champion else None
        seen = Seen(version=version, as_of=as_of, is_history=is_history)
        alert_transitions.observe(session, monitor, seen, finding, now)
        return 1


@dataclass(slots=True, kw_only=True)
class _Prepared:
    """A monitor with what it reads, or why that cannot be read."""

    monitor_id: UUID
    kind: MonitorKind[Any, Any]
    context: EvaluationContext
    params: Any = None
    basis: Signature | None = None
    values: dict[Any, object] = field(default_factory=dict)
    fitted: object = None
    error: Exception | None = None

    @property
    def as_of(self) -> datetime:
        """The moment that is evaluated."""
        return self.context.as_of


def _finding(one: _Prepared) -> Finding:
    try:
        if one.error is not None:
            return one.context.without_verdict(Outcome.ERROR, described(one.error))
        inputs = Inputs(context=one.context, values=one.values, fitted=one.fitted)
        return concluded(one.kind.evaluate(one.params, inputs), one.kind, one.context)
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("monitor %s failed", one.monitor_id)
        return one.context.without_verdict(Outcome.ERROR, described(error))


def _as_of(monitor: Monitor, model: Model, closed: datetime | None, now: datetime) -> datetime:
    """Return the moment that is evaluated: of the clock, or the end of what has closed."""
    kind = registry.stored(monitor.kind)
    if kind.ends_with_events and model.watermark is not None:
        return min(now, model.watermark + timedelta.resolution)
    if kind.interval is Interval.CLOCK or closed is None:
        return now
    if kind.interval is Interval.GRAIN:
        width = _width(monitor, model.contract)
        return _EPOCH + (closed - _EPOCH) // width * width
    # The end of a day has the finding of the whole day.
    is_end = models.zone_of(model).floor(closed) == closed
    return closed + is_end * timedelta.resolution


def _slis_of(monitors: Iterable[Monitor]) -> set[SliSlices]:
    """Return what monitors read of SLIs."""
    every = (source for one in monitors for source in monitor_config.sources_of(one))
    return {source for source in every if isinstance(source, SliSlices)}


def _is_due(monitor: Monitor, model: Model, closed: datetime | None) -> bool:
    """Return whether a window of a monitor has closed since the last evaluation."""
    if registry.stored(monitor.kind).interval is not Interval.GRAIN:
        return True
    if closed is None or model.checked_until is None:
        return True
    width = _width(monitor, model.contract)
    return (closed - _EPOCH) // width > (model.checked_until - _EPOCH) // width


def _width(monitor: Monitor, contract: Contract) -> timedelta:
    """Return how much event time lies between two evaluations of a monitor by grain."""
    every = registry.stored(monitor.kind).every_grains
    if every is None:
        return contract.grain
    try:
        return every(monitor_config.params_of(monitor)) * contract.grain
    except Unprocessable:  # the evaluation ends in this error
        return contract.grain


def closed_until(model: Model, contract: Contract) -> datetime | None:
    """Return the end of the last grain that has closed; None before any."""
    if model.watermark is None:
        return None
    closed = model.watermark - model.policy.lateness_of(contract.grain)
    return _EPOCH + (closed - _EPOCH) // contract.grain * contract.grain


def _signature(one: _Prepared, finding: Finding) -> Signature:
    detail = finding.detail.to_json()
    return signed(finding.outcome, finding.cause, detail, _day(one, one.as_of))


def _day(one: _Prepared, as_of: datetime) -> date | None:
    """Return the day for which a finding is stored at least once; None of an open day."""
    return None if one.kind.interval is Interval.DAY else as_of.date()
