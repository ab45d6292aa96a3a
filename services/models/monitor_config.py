"""Configuration of the monitors of a model."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from core import streams
from core.errors import Conflict, Unprocessable
from core.policy import Policy
from core.schema import task
from core.schema.contract import Contract
from core.streams import Level, Need, Retention
from db.queries.unique import insert_unique
from db.tables import Model, Monitor
from monitors import registry
from monitors.baselines import feature_weights
from monitors.kind import Interval, Severity, Source
from monitors.sources import reads, source_windows

_LIVE = (  # built once: it is read every second
    select(Monitor)
    .where(Monitor.kind.in_(bindparam("kinds", expanding=True)), Monitor.enabled.is_(True))
    .order_by(Monitor.name)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorPlan:
    """Definition of a monitor; without a severity it takes its kind's."""

    name: str
    kind: str
    params: Mapping[str, Any] = field(default_factory=dict)
    severity: str | None = None
    enabled: bool = True


def defaults(policy: Policy, contract: Contract) -> Iterator[MonitorPlan]:
    """Name the monitors that a model begins with: those of its task, and of every model."""
    promise = {"days_between_false_alarms": policy.days_between_false_alarms}
    yield MonitorPlan(name="input_drift", kind="input_drift", params=promise)
    yield MonitorPlan(name="temporal_pattern", kind="temporal_pattern", params=promise)
    yield MonitorPlan(name="input_fault", kind="input_fault")
    for kind in task.of(contract).monitors:
        yield MonitorPlan(name=kind, kind=kind)
    for sli in ("availability", "latency"):
        yield MonitorPlan(name=sli, kind="burn_rate", params={"sli": sli})
    for kind in ("contract_violations", "data_quality", "input_health", "entity_health"):
        yield MonitorPlan(name=kind, kind=kind)
    yield MonitorPlan(name="silence", kind="silence")
    if contract.grain < timedelta(hours=1):
        yield MonitorPlan(name="short_term_drift", kind="short_term_drift")


def beginning(model: Model, stated: Mapping[str, MonitorPlan | None]) -> list[Monitor]:
    """Return the monitors of a new model: by default, but for those that are stated.

    Raises
    ------
    Unprocessable
        As `check`.
    """
    begins = {plan.name: plan for plan in defaults(model.policy, model.contract)}
    rows = []
    for plan in ({**begins, **stated}).values():
        if plan is not None:
            check(plan, model.contract)
            row = Monitor(model_id=model.id, name=plan.name, kind=plan.kind)
            write(row, plan)
            rows.append(row)
    return rows


def shown_severity(plan: MonitorPlan) -> str:
    """Return the severity of a monitor, of which the kind may be unavailable."""
    return plan.severity or registry.stored(plan.kind).severity.value


def severity_of(plan: MonitorPlan) -> str:
    """Return the severity of a monitor's alerts.

    Raises
    ------
    Unprocessable
        If there is no such kind or severity, listing those known.
    """
    severity = plan.severity or registry.find(plan.kind).severity.value
    known = [one.value for one in Severity]
    if severity not in known:
        raise Unprocessable(f"severity {severity!r}; known: {', '.join(known)}")
    return severity


def put(session: Session, model_id: UUID, plan: MonitorPlan) -> bool:
    """Make the monitor be as stated; True when it is new.

    Raises
    ------
    Unprocessable
        If the kind, a parameter or the severity is not one, listing those known; or if it
        reads summaries for longer than the policy keeps them.
    Conflict
        If the monitor is of another kind: its findings would mean two things.
    """
    model = session.get_one(Model, model_id)
    monitor = session.scalar(_named(model_id, plan.name))
    check(plan, model.contract, monitor)
    is_new = monitor is None
    if monitor is None:
        monitor = Monitor(model_id=model_id, name=plan.name, kind=plan.kind)
    write(monitor, plan)
    if is_new:
        insert_unique(session, monitor, f"concurrent creation of monitor {plan.name}; retry")
    check_retention(session, model)
    return is_new


def check(plan: MonitorPlan, contract: Contract, monitor: Monitor | None = None) -> None:
    """Refuse a definition that the monitor of a model cannot have.

    Parameters
    ----------
    plan
        The definition.
    contract
        Of the model.
    monitor
        The monitor of that name; None where there is none.

    Raises
    ------
    Unprocessable, Conflict
        As `put`, but for the retention.
    """
    severity_of(plan)
    _check_names(plan, contract)
    if monitor is not None and monitor.kind != plan.kind:
        raise Conflict(f"monitor {plan.name!r} is of kind {monitor.kind!r}: use another name")


def write(monitor: Monitor, plan: MonitorPlan) -> None:
    """Write a definition that was checked to its row."""
    monitor.params = dict(plan.params)
    monitor.severity = severity_of(plan)
    monitor.enabled = plan.enabled


def _check_names(plan: MonitorPlan, contract: Contract) -> None:
    """Refuse to weigh a feature, or to evaluate segments, that the model has not."""
    params = registry.parse(plan.kind, plan.params)
    every = registry.find(plan.kind).every_grains
    if every is not None and every(params) * contract.grain >= timedelta(days=1):
        raise Unprocessable(
            f"{plan.kind}: {every(params)} grains of {contract.grain} are a day or more"
        )
    weights = getattr(params, "feature_weights", {})
    is_apart = registry.find(plan.kind).needs_segments
    by_segment = is_apart or getattr(params, "by_segment", False)
    if not weights and not by_segment:
        return
    if by_segment and not contract.segment_by:
        raise Unprocessable("the contract has no segments (segment_by)")
    if weights:
        try:
            unread = registry.find(plan.kind).unread(contract)
            feature_weights.check(
                weights, "feature", [name for name in contract.measured if name not in unread]
            )
        except ValueError as error:
            raise Unprocessable(str(error)) from None


def of_models(
    session: Session, model_ids: Collection[UUID] | None
) -> dict[UUID, list[Monitor]]:
    """Return the monitors of some models, or of all that have any, by name."""
    found = dict[UUID, list[Monitor]]((model_id, []) for model_id in model_ids or ())
    rows = select(Monitor).order_by(Monitor.name)
    if model_ids is not None:
        rows = rows.where(Monitor.model_id.in_(model_ids))
    for row in session.scalars(rows):
        found.setdefault(row.model_id, []).append(row)
    return found


def needs(model: Model, monitors: Iterable[Monitor]) -> Mapping[Level, Need]:
    """Return how far back the enabled monitors of a model read summaries, by level."""
    found: dict[Level, Need] = {}
    contract, policy = model.contract, model.policy
    for row in monitors:
        for source in sources_of(row) if row.enabled else ():
            read = reads(source, contract, policy)
            fine = None if read is None else (Level.SLICE, source_windows(source))
            for level, back in (one for one in (read, fine) if one is not None and one[1]):
                if level not in found or found[level].back < back:
                    found[level] = Need(back=back, monitor=row.name)
    return found


def retention_of(model: Model, monitors: Iterable[Monitor], defaults: Retention) -> Retention:
    """Return how long summaries of a model are kept."""
    return defaults.of(model.policy.summary_retention, needs(model, monitors))


def params_of(monitor: Monitor) -> Any:
    """Read the parameters of a monitor; equal ones are read once.

    Raises
    ------
    Unprocessable
        If its kind is unavailable, or they mean nothing.
    """
    return _parsed(monitor.kind, msgspec.json.encode(monitor.params))


@lru_cache(maxsize=4096)
def _parsed(kind: str, params: bytes) -> Any:
    return registry.parse(kind, msgspec.json.decode(params))


def sources_of(monitor: Monitor) -> list[Source[Any]]:
    """Return what a monitor reads; nothing where its configuration means nothing."""
    with suppress(Unprocessable):
        return [*_sources(monitor.kind, msgspec.json.encode(monitor.params))]
    return []


@lru_cache(maxsize=4096)
def _sources(kind: str, params: bytes) -> tuple[Source[Any], ...]:
    return tuple(registry.find(kind).sources(_parsed(kind, params)))


def check_retention(session: Session, model: Model) -> None:
    """Refuse a policy that keeps summaries shorter than monitors of the model read them.

    Raises
    ------
    Unprocessable
        Naming the entry of the policy, and the monitor.
    """
    check_needs(model, of_models(session, [model.id])[model.id])


def check_needs(model: Model, monitors: Iterable[Monitor]) -> None:
    """Refuse a policy that keeps summaries shorter than these monitors read them.

    Raises
    ------
    Unprocessable
        As `check_retention`.
    """
    streams.check(model.policy.summary_retention, needs(model, monitors))


def _named(model_id: UUID, name: str) -> Select[Monitor]:
    return select(Monitor).where(Monitor.model_id == model_id, Monitor.name == name)


def enabled(session: Session, model_id: UUID) -> Sequence[Monitor]:
    """Return the enabled monitors of a model, by name."""
    return session.scalars(
        select(Monitor)
        .where(Monitor.model_id == model_id, Monitor.enabled.is_(True))
        .order_by(Monitor.name)
    ).all()


def by_day(monitors: Iterable[Monitor]) -> Sequence[Monitor]:
    """Return the monitors that are evaluated day by day, in the order in which they are.

    A broken input explains what the other monitors find: those that find it are first.
    """
    daily = [row for row in monitors if interval_of(row.kind) is Interval.DAY]
    return sorted(daily, key=lambda monitor: not finds_broken_input(monitor.kind))


def live(session: Session) -> dict[UUID, list[Monitor]]:
    """Return the monitors that are evaluated by grain or by clock, of each model."""
    kinds = registry.where(
        lambda kind: kind.interval is not Interval.DAY or kind.watches_open_days
    )
    found: dict[UUID, list[Monitor]] = {}
    for monitor in session.scalars(_LIVE, {"kinds": kinds}):
        found.setdefault(monitor.model_id, []).append(monitor)
    return found


def n_sharing(monitors: Iterable[Monitor]) -> int:
    """Return how many of the enabled monitors of a model share its false-alarm budget."""
    return sum(registry.stored(one.kind).gives_evidence for one in monitors)


def interval_of(kind: str) -> Interval:
    """Return when a kind of monitor is evaluated."""
    return registry.stored(kind).interval


def about(monitor: Monitor) -> str:
    """Return what a monitor evaluates beyond the question of its kind, or why it cannot be."""
    try:
        kind = registry.find(monitor.kind)
        return kind.about(params_of(monitor))
    except Unprocessable as error:
        return str(error)


def finds_broken_input(kind: str) -> bool:
    """Return whether a kind of monitor finds input faults."""
    found = registry.KINDS.get(kind)
    return found is not None and found.broken is not None
