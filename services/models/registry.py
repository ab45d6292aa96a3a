"""Models by name: register a model, add a version."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from core.errors import Conflict, NotFound, Unprocessable
from core.policy import Policy
from core.schema import masking, names, task
from core.schema.contract import Contract
from core.schema.evolution import Change, absorb, apart, compare, known_digests, succeed
from core.schema.rows import REFERENCE
from core.terms import Terms, rules
from core.window import Stretches
from db.queries import models
from db.queries.unique import insert_unique
from db.session import read_only
from db.tables import Model, Scope, TrainerConfig, Version
from retrain.template import TEMPLATES
from services.access.api_keys import Caller, require
from services.access.ttl_cache import Cached
from services.models import monitor_config, trainer_config
from services.models.monitor_config import MonitorPlan
from tasks.sums import units

TTL = timedelta(seconds=5)  # how long a changed contract may still be read as it was

# Names go into paths, metric labels and addresses.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MAX_TAGS = 20  # of a model


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What every request about a model needs to know."""

    model_id: UUID
    name: str
    terms: Terms

    @property
    def contract(self) -> Contract:
        """The contract of the model, which is that of its log."""
        return self.terms.contract

    @property
    def mask_key(self) -> bytes | None:
        """The secret under which the model's sensitive values are hashed."""
        return self.terms.mask_key


class ModelCache:
    """Finds models by name; remembers them for a moment."""

    def __init__(self, sessions: sessionmaker[Session], ttl: timedelta = TTL) -> None:
        self._sessions = sessions
        self._entries = Cached(self._look_up, ttl)
        self._terms: dict[UUID, tuple[object, Terms]] = {}

    def find(self, name: str) -> Entry:
        """Return the model, or raise NotFound."""
        return self._entries.get(name)

    def reach(self, caller: Caller, scope: Scope, name: str) -> Entry:
        """Return the model if this caller may do this with it.

        To a key for one model, a model that does not exist is answered as one
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
            versions = models.versions(session, model.id)
            texts = {version.name: version.contract_text for version in versions}
            inputs = model.contract_text, texts, model.mask_key
            known = self._terms.get(model.id)
            # The same object as long as nothing has changed: readers are built for it.
            if known is None or known[0] != inputs:
                known = self._terms[model.id] = inputs, terms_of(model, versions)
            return Entry(model_id=model.id, name=model.name, terms=known[1])


def terms_of(model: Model, versions: Sequence[Version]) -> Terms:
    """Return what the rows of a model must keep to."""
    default_rules = rules(model.contract)
    declared = {version.name: version.contract for version in versions}
    return Terms(
        contract=model.contract,
        by_version={name: own for name, own in declared.items() if rules(own) != default_rules},
        mask_key=model.mask_key,
        digests=known_digests(model.contract, declared),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Definition of a model."""

    name: str
    contract: Contract
    description: str = ""
    runbook_url: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""
    team: str = ""
    tier: str = ""
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPlan:
    """Definition of a version, before its weights arrive."""

    name: str
    contract: Contract | None = None
    manifest: dict[str, Any] = field(default_factory=dict)
    reference: Stretches = ()
    objective: float | None = None


def register(session: Session, registration: Registration, now: datetime) -> bool:
    """Make the model be as stated; True when it is new: then it has the default monitors.

    Raises
    ------
    Unprocessable
        As `check`, or if the policy keeps summaries for too short a time for a monitor.
    Conflict
        If the contract breaks the one that rows were stored under, rather than widen it.
    """
    # load
    check(registration, trainer_config.every(session))
    # Not the key: rows that refer to the model may be added meanwhile.
    named = models.named(registration.name).with_for_update(key_share=True)
    model = session.scalar(named)
    if model is None:
        add(session, registration, now)
        return True
    change(model, models.versions(session, model.id), registration)
    monitor_config.check_retention(session, model)
    return False


def check(registration: Registration, trainers: Iterable[TrainerConfig]) -> None:
    """Refuse a definition that no model can have.

    Raises
    ------
    Unprocessable
        If a name cannot be part of an address or a path, there are too many tags, or the
        policy names a template or trainer that there is not, or parameters that the template
        does not take.
    """
    check_name("model", registration.name)
    if registration.group:
        check_name("group", registration.group)
    for tag in registration.tags:
        check_name("tags: tag", tag)
    if len(registration.tags) > MAX_TAGS:
        raise Unprocessable(f"tags: at most {MAX_TAGS} of a model")
    names.check_contract(registration.contract)
    policy = registration.policy
    TEMPLATES.find(policy.template).parse(policy.template_params)
    trainer_config.chosen(trainers, policy.trainer)
    task.check(registration.contract)


def add(
    session: Session,
    registration: Registration,
    now: datetime,
    stated: Mapping[str, MonitorPlan | None] = MappingProxyType({}),
) -> Model:
    """Add a model that was checked, with its default monitors and those that are stated.

    Parameters
    ----------
    session
        The open transaction.
    registration
        What it is.
    now
        Wall time.
    stated
        Monitors by name, instead of or beside the default ones; None is no such monitor.

    Raises
    ------
    Unprocessable
        If the policy keeps summaries for too short a time for a monitor.
    Conflict
        If there is a model of that name.
    """
    key = masking.new_key()
    model = Model(name=registration.name, mask_key=key, created_at=now)
    _write(model, registration, registration.contract)
    insert_unique(session, model, f"concurrent registration of model {model.name}; retry")
    monitors = monitor_config.beginning(model, stated)
    monitor_config.check_needs(model, monitors)
    session.add_all(monitors)
    session.flush()
    return model


def change(model: Model, versions: Iterable[Version], registration: Registration) -> None:
    """Give a model a definition that was checked, and its versions a wider contract.

    Raises
    ------
    Conflict
        If the contract breaks the one that rows were stored under, rather than widen it.
    """
    contract = successor(model, versions, registration.contract)
    _let_versions_follow(model, versions, registration.contract)
    model.mask_key = model.mask_key or masking.new_key()
    _write(model, registration, contract)


def _write(model: Model, registration: Registration, contract: Contract) -> None:
    model.contract = contract
    for name in ("description", "runbook_url", "group", "policy"):
        setattr(model, name, getattr(registration, name))
    model.tags = tuple(sorted({*registration.tags}))
    model.owner, model.team, model.tier = (
        registration.owner,
        registration.team,
        registration.tier,
    )


def lock(session: Session, name: str) -> Model:
    """Return the model, which nobody else changes until the transaction is over.

    Raises
    ------
    NotFound
        If there is none.
    """
    model = session.scalar(models.named(name).with_for_update(key_share=True))
    if model is None:
        raise NotFound(f"no model {name!r}")
    return model


def successor(model: Model, versions: Iterable[Version], stated: Contract) -> Contract:
    """Return the contract that the log goes on under.

    A feature that only a version has added stays, also when the registration of
    the model does not know it.

    Raises
    ------
    Conflict
        If it breaks the contract that rows were stored under, rather than widen it.
    """
    old = model.contract
    named = {feature.name: feature for feature in stated.features}
    added = {name for version in versions for name in version.contract.feature_names}
    unsaid = {f.name for f in old.features if f.optional and f.name in added - named.keys()}
    spoken_of = replace(old, features=tuple(f for f in old.features if f.name not in unsaid))
    broken = compare(spoken_of, stated).breaking
    if broken:
        needs_model = {*broken} & {*apart(old, stated)}
        remedy = "register a model of another name" if needs_model else "add a new version"
        raise Conflict(
            f"the contract of {model.name!r} cannot change in {', '.join(broken)}: "
            f"rows may be stored under it; {remedy} with this contract"
        )
    features = {f.name: named.get(f.name, f) for f in old.features} | named
    return succeed(old, replace(stated, features=tuple(features.values())))


def _let_versions_follow(model: Model, versions: Iterable[Version], stated: Contract) -> None:
    """Give the wider contract to the versions that were declared under the one it widens."""
    old = model.contract
    for version in versions:
        own = version.contract
        is_shared = own.digest in {old.digest, *old.widens}
        if is_shared and own != stated and not compare(own, stated).breaking:
            _declare(version, succeed(own, stated))


def _declare(version: Version, contract: Contract) -> None:
    version.contract = contract
    version.contract_digest = contract.digest


def check_name(noun: str, name: str) -> None:
    """Refuse a name that cannot be part of an address or a path."""
    if not NAME.fullmatch(name):
        raise Unprocessable(
            f"{noun} name {name!r}: letters, digits, '.', '_' and '-', "
            "at most 100, the first a letter or digit"
        )


def plan_version(session: Session, model_id: UUID, plan: VersionPlan, now: datetime) -> bool:
    """Make the version be as stated; True when it is new.

    What a version was trained on does not change afterwards, so that a
    finding can always be traced; only its manifest and objective may, and its
    contract may become wider. Features that it adds join the model's log.

    Raises
    ------
    Unprocessable
        If the name cannot be part of a path, or means something else, or the manifest states
        no usable scaler.
    Conflict
        If the contract cannot share the model's log, or the version exists
        with a contract that this one breaks, or with another reference.
    """
    # load
    check_name("version", plan.name)
    if plan.name == REFERENCE:
        raise Unprocessable(f"{REFERENCE!r} names the past input that no version has served")
    if plan.contract is not None:
        names.check_contract(plan.contract)
        task.check(plan.contract)
    # Not the key: rows that refer to the model may be added meanwhile.
    model = session.get_one(Model, model_id, with_for_update={"key_share": True})
    version = session.scalar(models.version_named(model_id, plan.name))
    log = model.contract
    own = log if version is None else version.contract

    # decide
    contract = plan.contract or own
    units(plan.manifest, contract)  # refuses what no loss can be measured in
    broken = apart(log, contract)
    if broken:
        raise Conflict(
            f"version {plan.name!r} differs from the model's contract in {', '.join(broken)}: "
            "it cannot share its log; register a model of another name"
        )
    if version is not None:
        _refuse_other_origin(version, compare(own, contract), plan.reference)

    # save
    is_new = version is None
    if version is None:
        version = Version(model_id=model_id, name=plan.name, created_at=now)
        version.reference = plan.reference
        _declare(version, replace(contract, widens=()))
    elif contract != own:
        _declare(version, succeed(own, contract))
    model.contract = absorb(log, contract)
    version.manifest = plan.manifest
    version.objective = plan.objective
    if is_new:
        message = f"concurrent registration of version {plan.name}; retry"
        insert_unique(session, version, message)
    return is_new


def _refuse_other_origin(version: Version, change: Change, reference: Stretches) -> None:
    if change.breaking:
        raise Conflict(
            f"version {version.name!r} exists with another contract, which this one breaks in "
            f"{', '.join(change.breaking)}: declare it with a new version"
        )
    if version.reference != reference:
        raise Conflict(f"version {version.name!r} exists with another reference")
