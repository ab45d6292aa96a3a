"""Models as a configuration declares them: loaded together, changed one by one."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.stored import from_attributes
from db.tables import Model, Monitor, TrainerConfig, Version
from services.models import monitor_config, registry, trainer_config
from services.models.monitor_config import MonitorPlan
from services.models.registry import Registration
from services.retention import deletion


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A model that there is."""

    model: Model
    versions: list[Version]
    monitors: list[Monitor]

    @property
    def registration(self) -> Registration:
        """What was put."""
        return from_attributes(Registration, self.model)

    @property
    def plans(self) -> dict[str, MonitorPlan]:
        """The definitions of its monitors, by name."""
        return {row.name: from_attributes(MonitorPlan, row) for row in self.monitors}


class KnownModels(dict[str, KnownModel]):
    """Models by name, and the trainers that their policies may name."""

    def __init__(self, trainers: Collection[TrainerConfig]) -> None:
        super().__init__()
        self.trainers = trainers


def load(session: Session, names: Collection[str] | None = None) -> KnownModels:
    """Return every model, or those that are named, which are locked; in four statements."""
    query, of_all = select(Model).order_by(Model.name), names is None
    if names is not None:
        query = query.where(Model.name.in_(names)).with_for_update(key_share=True)
    rows = session.scalars(query).all()
    ids = [row.id for row in rows]
    versions = defaultdict[UUID, list[Version]](list)
    of_models = select(Version).order_by(Version.created_at, Version.name)
    among = of_models if of_all else of_models.where(Version.model_id.in_(ids))
    for version in session.scalars(among):
        versions[version.model_id].append(version)
    monitors = monitor_config.of_models(session, None if of_all else ids)
    found = KnownModels(trainer_config.every(session))
    for row in rows:
        found[row.name] = KnownModel(
            model=row, versions=versions[row.id], monitors=monitors.get(row.id, [])
        )
    return found


def succeeding(known: KnownModel, registration: Registration) -> Registration:
    """Return a registration whose contract is the one that the log goes on under.

    Raises
    ------
    Conflict
        If the contract breaks that of the model.
    """
    contract = registry.successor(known.model, known.versions, registration.contract)
    return replace(registration, contract=contract)


def defaults(registration: Registration) -> dict[str, MonitorPlan]:
    """Return the monitors that a model begins with, by name."""
    begins = monitor_config.defaults(registration.policy, registration.contract)
    return {plan.name: plan for plan in begins}


def monitors_after(
    known: KnownModel | None,
    registration: Registration,
    stated: Mapping[str, MonitorPlan | None],
    *,
    prune: bool,
) -> dict[str, MonitorPlan]:
    """Return the monitors that a model will have, by name.

    Parameters
    ----------
    known
        The model; None of a new one, which begins with the default monitors.
    registration
        As it will be.
    stated
        Monitors by name; None is no such monitor.
    prune
        Whether to remove those that are stated as None, and those that are neither stated nor
        default ones.
    """
    begins = defaults(registration)
    there = begins if known is None else known.plans
    if known is None or prune:
        there = {
            name: plan
            for name, plan in there.items()
            if stated.get(name, plan) is not None and (name in stated or name in begins)
        }
    return there | {name: plan for name, plan in stated.items() if plan is not None}


def check_retention(registration: Registration, plans: Iterable[MonitorPlan]) -> None:
    """Refuse a policy that keeps summaries shorter than the monitors read them.

    Raises
    ------
    Unprocessable
        Naming the entry of the policy, and the monitor.
    """
    model = Model(contract=registration.contract, policy=registration.policy)
    rows = []
    for plan in plans:
        row = Monitor(name=plan.name, kind=plan.kind)
        monitor_config.write(row, plan)
        rows.append(row)
    monitor_config.check_needs(model, rows)


def change(
    session: Session,
    known: KnownModel,
    registration: Registration,
    stated: Mapping[str, MonitorPlan | None],
    now: datetime,
    *,
    prune: bool,
) -> None:
    """Give a model a definition that was checked, with its monitors; else `monitors_after`."""
    registry.change(known.model, known.versions, registration)
    after = monitors_after(known, registration, stated, prune=prune)
    rows = {row.name: row for row in known.monitors}
    for name in rows.keys() - after.keys():
        deletion.delete_monitor(session, known.model.id, name, now)
    for name, plan in stated.items():
        if plan is not None:
            row = rows.get(name) or Monitor(model_id=known.model.id, name=name, kind=plan.kind)
            monitor_config.write(row, plan)
            session.add(row)
