"""Models in the configuration, with their monitors and SLOs."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from pydantic import Field
from sqlalchemy.orm import Session

from api.configuration.entries import parse
from api.models.models import ModelPut, registration_of
from api.models.monitors import MonitorPut
from core.policy import Policy
from core.schema.contract import Contract
from services.configuration import models as configured
from services.configuration.faults import Faults
from services.configuration.models import KnownModel, KnownModels
from services.configuration.noun import Action, Stated
from services.models import monitor_config, registry
from services.models.monitor_config import MonitorPlan
from services.retention import deletion

SLO = "burn_rate"  # the kind of monitor of every SLO
_OF_SLO = ("severity", "enabled")  # all other fields of one are parameters
_DEFAULT_POLICY = Policy().to_json()


class MonitorEntry(MonitorPut):
    """A monitor; its kind is by default its name."""

    kind: str = ""


class ModelEntry(ModelPut):
    """A model, as it can be put, with its monitors and SLOs.

    Attributes
    ----------
    monitors, slos
        By name; null for none of that name. A monitor that is not named stays as it is.
    """

    monitors: dict[str, MonitorEntry | None] = Field(default={})
    slos: dict[str, dict[str, Any] | None] = Field(default={})


class Models:
    """Models with their monitors."""

    kind, field, entry, batch = "Model", "models", ModelEntry, 50
    actions: Mapping[Action, str] = {
        Action.CREATED: "model.register",
        Action.CHANGED: "model.update",
        Action.REMOVED: "model.delete",
    }

    def load(self, session: Session, names: Collection[str] | None = None) -> KnownModels:
        """Return every model, or those that are named, with versions and monitors."""
        return configured.load(session, names)

    def document(self, known: KnownModel | None) -> Mapping[str, Any] | None:
        """Return a model with every field."""
        if known is None:
            return None
        return _document(known.registration, known.plans)

    def exported(self, known: KnownModel) -> Mapping[str, Any] | None:
        """Return a model without what has its default."""
        return _sparse(known)

    def state(self, known: KnownModel | None) -> object:
        """Return what was put."""
        return self.document(known)

    def parse(self, name: str, raw: object, faults: Faults) -> ModelEntry | None:
        """Return the entry of a model; contract and policy are parsed by themselves first."""
        path = self.field, name
        bad = set[str]()
        for field, kind in (("contract", Contract), ("policy", Policy)):
            if isinstance(raw, dict) and field in raw:
                with faults.at(*path, field):
                    kind.from_json(raw[field])
                bad |= {field} if faults.has_under(*path, field) else set()
        if isinstance(raw, dict) and "contract" not in raw:
            reason = "required, in the model or in defaults that its tags select"
            faults.add((*path, "contract"), reason)
            bad.add("contract")
        entry = parse(ModelEntry, path, raw, faults, bad)
        for slo, fields in ({} if entry is None else entry.slos).items():
            common = {key: one for key, one in (fields or {}).items() if key in _OF_SLO}
            parse(MonitorEntry, (*path, "slos", slo), common, faults)
        return None if faults.has_under(*path) else entry

    def decide(
        self, stated: Stated, there: KnownModels, faults: Faults
    ) -> Mapping[str, Any] | None:
        """Return the model as it will be."""
        path, entry, known = (self.field, stated.name), stated.entry, there.get(stated.name)
        registration = registration_of(stated.name, entry)
        plans = _plans(entry)
        with faults.at(*path):
            registry.check(registration, there.trainers)
        if known is not None:
            with faults.at(*path, "contract"):
                registration = configured.succeeding(known, registration)
        rows = {} if known is None else {row.name: row for row in known.monitors}
        for name in sorted({*entry.monitors} & {*entry.slos}):
            faults.add([*path, "slos", name], f"{name!r} is also one of the monitors")
        for name, plan in plans.items():
            place = (*path, *_place(entry, name))
            with faults.at(*place):
                registry.check_name("monitor", name)
            if plan is not None:
                with faults.at(*place):
                    monitor_config.check(plan, registration.contract, rows.get(name))
        if faults.has_under(*path):
            return None
        after = configured.monitors_after(known, registration, plans, prune=stated.prune)
        with faults.at(*path, "policy"):
            configured.check_retention(registration, after.values())
        return _document(registration, after)

    def refuse_removal(self, session: Session, names: Collection[str], faults: Faults) -> None:
        """Refuse while a rollout of a model is open."""
        for reason in deletion.open_rollouts(session, names):
            faults.add([], reason)

    def save(
        self, session: Session, stated: Stated, known: KnownModel | None, now: datetime
    ) -> None:
        """Register a model, or change it, with its monitors."""
        registration, plans = registration_of(stated.name, stated.entry), _plans(stated.entry)
        if known is None:
            registry.add(session, registration, now, plans)
        else:
            configured.change(session, known, registration, plans, now, prune=stated.prune)

    def remove(self, session: Session, known: KnownModel, now: datetime) -> None:
        """Delete a model with all its rows."""
        deletion.delete_model(session, known.model.id, now)


def _plans(entry: ModelEntry) -> dict[str, MonitorPlan | None]:
    """Return the monitors of an entry, those of its SLOs among them."""
    plans: dict[str, MonitorPlan | None] = {}
    for name, body in entry.monitors.items():
        plans[name] = None
        if body is not None:
            stated = body.model_dump(exclude={"kind"})
            plans[name] = MonitorPlan(name=name, kind=body.kind or name, **stated)
    for name, slo in entry.slos.items():
        plans[name] = None if slo is None else _plan_of_slo(name, slo)
    return plans


def _plan_of_slo(name: str, slo: Mapping[str, Any]) -> MonitorPlan:
    params = {"sli": name, **{key: one for key, one in slo.items() if key not in _OF_SLO}}
    of_slo = {key: slo[key] for key in _OF_SLO if key in slo}
    return MonitorPlan(name=name, kind=SLO, params=params, **of_slo)


def _place(entry: ModelEntry, name: str) -> tuple[str, str]:
    return ("slos" if name in entry.slos else "monitors"), name


def _document(
    registration: registry.Registration, plans: Mapping[str, MonitorPlan]
) -> dict[str, Any]:
    """Return every field of a model, as a file may hold them."""
    contract = registration.contract.to_json()
    contract.pop("widens", None)
    return {
        "description": registration.description,
        "runbook_url": registration.runbook_url,
        "group": registration.group,
        "tags": sorted({*registration.tags}),
        "owner": registration.owner,
        "team": registration.team,
        "tier": registration.tier,
        "contract": contract,
        "policy": registration.policy.to_json(),
        **_of_monitors(plans.values()),
    }


def _of_monitors(plans: Iterable[MonitorPlan]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"monitors": {}, "slos": {}}
    for plan in plans:
        common = {"severity": monitor_config.shown_severity(plan), "enabled": plan.enabled}
        if plan.kind == SLO:
            params = {"sli": "availability", **plan.params}
            found["slos"][plan.name] = params | common
        else:
            own = {"kind": plan.kind, "params": {**plan.params}}
            found["monitors"][plan.name] = own | common
    return found


def _sparse(known: KnownModel) -> dict[str, Any]:
    """Return a model without what has its default; null is a default monitor that it lacks."""
    plans = known.plans
    form = _document(known.registration, plans)
    policy = form["policy"]
    form["policy"] = {k: v for k, v in policy.items() if v != _DEFAULT_POLICY.get(k)}
    begins = _of_monitors(configured.defaults(known.registration).values())
    for field in ("monitors", "slos"):
        stated = {
            name: _sparse_monitor(name, one, plans[name].kind)
            for name, one in form[field].items()
            if one != begins[field].get(name)
        }
        absent = {name: None for name in begins[field] if name not in plans}
        form[field] = stated | absent
    return {name: value for name, value in form.items() if value}


def _sparse_monitor(name: str, form: Mapping[str, Any], kind: str) -> dict[str, Any]:
    default = MonitorPlan(name=name, kind=kind)
    defaults = {
        "kind": name,
        "params": {},
        "sli": name,
        "severity": monitor_config.shown_severity(default),
        "enabled": True,
    }
    return {key: value for key, value in form.items() if value != defaults.get(key)}
