"""Models by name: register one, add a version, say which serves, describe it all."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from core.contract import Contract
from core.errors import Conflict, Forbidden, NotFound, Unprocessable
from core.policy import Policy
from core.rows import REFERENCE
from core.window import Window
from db.queries import models
from db.queries.unique import insert_unique
from db.session import read_only
from db.tables import Model, Scope, Version
from services import monitoring
from services.access import Caller, require
from services.cached import Cached

TTL = timedelta(seconds=5)  # how long a changed contract may still be read as it was

# Names go into paths, metric labels and addresses.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What every request about a model needs to know."""

    model_id: UUID
    name: str
    contract: Contract


class Directory:
    """Finds models by name; remembers them for a moment."""

    def __init__(self, sessions: sessionmaker[Session], ttl: timedelta = TTL) -> None:
        self._sessions = sessions
        self._entries = Cached(self._look_up, ttl)

    def find(self, name: str) -> Entry:
        """Return the model, or raise NotFound."""
        return self._entries.get(name)

    def reach(self, caller: Caller, scope: Scope, name: str) -> Entry:
        """Return the model if this caller may do this with it.

        To a key for one model, a model that does not exist looks like one
        that it may not reach.

        Raises
        ------
        Forbidden
            If the key lacks the scope, or is for another model.
        NotFound
            If there is no such model.
        """
        require(caller, scope, caller.model_id)
        try:
            entry = self.find(name)
        except NotFound:
            require(caller, scope)
            raise
        require(caller, scope, entry.model_id)
        return entry

    def forget(self, name: str) -> None:
        """Read it anew next time: for the process that has just changed it."""
        self._entries.forget(name)

    def _look_up(self, name: str) -> Entry:
        with read_only(self._sessions) as session:
            model = models.find(session, name)
            return Entry(
                model_id=model.id,
                name=model.name,
                contract=Contract.from_json(model.contract),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What somebody says about a model."""

    name: str
    contract: Contract
    description: str = ""
    runbook_url: str = ""
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPlan:
    """What somebody says about a version, before its weights arrive."""

    name: str
    contract: Contract | None = None
    manifest: dict[str, Any] = field(default_factory=dict)
    reference: Window | None = None
    objective: float | None = None


def register(session: Session, registration: Registration, now: datetime) -> bool:
    """Make the model be as stated; True when it is new: then it has the default monitors.

    Raises
    ------
    Unprocessable
        If the name cannot be part of an address or a path.
    Conflict
        If the contract breaks the one that rows were stored under.
    """
    # load
    check_name("model", registration.name)
    model = session.scalar(models.named(registration.name))

    # decide
    if model is not None:
        broken = breaks(Contract.from_json(model.contract), registration.contract)
        if broken:
            raise Conflict(
                f"the contract of {registration.name!r} cannot change in {', '.join(broken)}: "
                "rows are stored under it; register a model of another name"
            )

    # save
    is_new = model is None
    if model is None:
        model = Model(name=registration.name, contract={}, created_at=now)
    model.contract = registration.contract.to_json()
    model.description = registration.description
    model.runbook_url = registration.runbook_url
    model.policy = registration.policy.to_json()
    if is_new:
        insert_unique(session, model, "somebody registers this model right now; try again")
        for plan in monitoring.defaults(registration.policy):
            monitoring.put(session, model.id, plan)
    return is_new


def check_name(noun: str, name: str) -> None:
    """Refuse a name that cannot be part of an address or a path."""
    if not NAME.fullmatch(name):
        raise Unprocessable(
            f"{noun} name {name!r}: letters, digits, '.', '_' and '-', "
            "at most 100, the first a letter or digit"
        )


def breaks(old: Contract, new: Contract) -> tuple[str, ...]:
    """Name what in the new contract would make rows under the old one unreadable.

    Units, the model's look-back and wider bounds on the length of a list are
    free to change; everything that shapes a stored row is not.
    """
    broken = []
    if new.feature_names != old.feature_names:
        broken.append("features")
    else:
        broken.extend(
            f"features.{after.name} (its lengths may only widen)"
            for before, after in zip(old.features, new.features, strict=True)
            if after.min_length > before.min_length or after.max_length < before.max_length
        )
    broken.extend(
        name
        for name in ("targets", "step_seconds", "horizon")
        if getattr(new, name) != getattr(old, name)
    )
    return tuple(broken)


def plan_version(session: Session, model_id: UUID, plan: VersionPlan, now: datetime) -> bool:
    """Make the version be as stated; True when it is new.

    What a version was trained on does not change afterwards, so that a
    finding can always be traced; only its manifest and objective may.

    Raises
    ------
    Unprocessable
        If the name cannot be part of a path, or means something else.
    Conflict
        If the contract does not fit the model's, or the version exists with
        another contract or another reference.
    """
    # load
    check_name("version", plan.name)
    if plan.name == REFERENCE:
        raise Unprocessable(f"{REFERENCE!r} names the past input that no version has served")
    model = session.get_one(Model, model_id)
    version = session.scalar(models.version_named(model_id, plan.name))
    start, end = (plan.reference.start, plan.reference.end) if plan.reference else (None, None)

    # decide
    declared = Contract.from_json(model.contract)
    contract = plan.contract or declared
    broken = breaks(declared, contract)
    if broken:
        raise Conflict(
            f"version {plan.name!r} differs from the model's contract in {', '.join(broken)}"
        )
    if version is not None:
        _refuse_other_origin(version, contract, start, end)

    # save
    is_new = version is None
    if version is None:
        version = Version(
            model_id=model_id,
            name=plan.name,
            contract=contract.to_json(),
            contract_digest=contract.digest,
            reference_start=start,
            reference_end=end,
            created_at=now,
        )
    version.manifest = plan.manifest
    version.objective = plan.objective
    if is_new:
        insert_unique(session, version, "somebody adds this version right now; try again")
    return is_new


def _refuse_other_origin(
    version: Version, contract: Contract, start: datetime | None, end: datetime | None
) -> None:
    if version.contract_digest != contract.digest:
        raise Conflict(f"version {version.name!r} exists with another contract")
    if (version.reference_start, version.reference_end) != (start, end):
        raise Conflict(f"version {version.name!r} exists with another reference")


def names_for(session: Session, caller: Caller) -> list[str]:
    """Return the models that this caller may read, by name.

    Raises
    ------
    Forbidden
        If the key may not read at all.
    """
    if not caller.holds(Scope.READ):
        raise Forbidden(f"key {caller.name!r} lacks the scope {Scope.READ}")
    return models.names(session, caller.model_id)
