"""Apply a configuration: decide on the whole, then save what differs, some objects at a time.

An interruption between two transactions leaves whole objects: the next apply saves the rest.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from core.errors import Conflict, Unprocessable
from db.session import read_only, unit_of_work
from services.access.api_keys import audit
from services.configuration.differences import differences
from services.configuration.faults import Faults
from services.configuration.noun import Action, ConfigurationChange, Noun, Stated

Document = Mapping[str, Mapping[str, Any]]  # by field of a noun, then by name

# Between two transactions. Who waits for an SQLite file tries it every 100 ms.
PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who applies a configuration, and of which commit; `dirty` where files differ from it."""

    actor: str
    commit: str
    dirty: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One change, what it was decided upon, and the document of the object afterwards."""

    noun: Noun
    change: ConfigurationChange
    stated: Stated
    state: object
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every change, and how many objects stay as they are."""

    decisions: tuple[Decision, ...]
    n_unchanged: int


def current(session: Session, nouns: Sequence[Noun]) -> dict[str, dict[str, Any]]:
    """Return the configuration of the platform, as files hold it; no secret is in it."""
    found = {noun.field: noun.load(session).items() for noun in nouns}
    shown = {
        noun.field: {name: noun.exported(known) for name, known in found[noun.field]}
        for noun in nouns
    }
    return {
        field: {name: one for name, one in objects.items() if one is not None}
        for field, objects in shown.items()
    }


def decide(
    sessions: sessionmaker[Session],
    nouns: Sequence[Noun],
    document: Document,
    *,
    prune: bool,
) -> Plan:
    """Decide what a document changes; nothing is written.

    Parameters
    ----------
    sessions
        Opens the read-only transaction.
    nouns
        Those that there are.
    document
        The objects, by noun and name.
    prune
        Whether to remove what the document does not name.

    Raises
    ------
    InvalidConfiguration
        Naming everything that is wrong, each with its place in the document.
    """
    faults = Faults(document)
    known_fields = [noun.field for noun in nouns]
    for field in sorted({*document} - {*known_fields}):
        faults.add([field], f"unknown {field}; known: {', '.join(known_fields)}")
    decisions, n_unchanged = list[Decision](), 0
    with read_only(sessions) as session:
        for noun in nouns:
            there = noun.load(session)
            objects = document.get(noun.field, {})
            for name, raw in objects.items():
                found = _decided(noun, name, raw, there, faults, prune=prune)
                n_unchanged += found is None
                decisions += [found] if found else []
            if prune:
                removed = _removed(noun, there, objects)
                names = [one.change.name for one in removed]
                noun.refuse_removal(session, names, faults)
                decisions += removed
    faults.raise_any()
    return Plan(decisions=tuple(decisions), n_unchanged=n_unchanged)


def _decided(
    noun: Noun, name: str, raw: Any, there: Mapping[str, Any], faults: Faults, *, prune: bool
) -> Decision | None:
    """Return what one object changes; None where nothing changes, or something is wrong."""
    entry = noun.parse(name, raw, faults)
    if entry is None:
        return None
    stated = Stated(name=name, entry=entry, prune=prune)
    known = there.get(name)
    after, before = noun.decide(stated, there, faults), noun.document(known)
    if after is None or after == before:
        return None
    change = ConfigurationChange(
        kind=noun.kind,
        name=name,
        action=Action.CREATED if before is None else Action.CHANGED,
        fields=() if before is None else tuple(differences(before, after)),
    )
    state = noun.state(known)
    return Decision(noun=noun, change=change, stated=stated, state=state, after=after)


def _removed(
    noun: Noun, there: Mapping[str, Any], objects: Mapping[str, Any]
) -> list[Decision]:
    return [
        Decision(
            noun=noun,
            change=ConfigurationChange(kind=noun.kind, name=name, action=Action.REMOVED),
            stated=Stated(name=name, entry=None, prune=True),
            state=noun.state(known),
        )
        for name, known in there.items()
        if name not in objects and noun.document(known) is not None
    ]


def save(sessions: sessionmaker[Session], plan: Plan, source: Source, now: datetime) -> None:
    """Save what was decided, with its entries in the audit log; each object is saved whole.

    Raises
    ------
    Conflict
        If an object was changed after the decision. What was saved before it stays.
    """
    is_first = True
    for (noun, is_removal), group in groupby(
        plan.decisions, lambda one: (one.noun, one.change.action is Action.REMOVED)
    ):
        waiting = [*group]
        size = 1 if is_removal else noun.batch
        for start in range(0, len(waiting), size):
            if not is_first:
                time.sleep(PAUSE_SECONDS)  # whoever waits for the database is next
            is_first = False
            with unit_of_work(sessions) as session:
                _save(session, noun, waiting[start : start + size], source, now)


def _save(
    session: Session, noun: Noun, decisions: Sequence[Decision], source: Source, now: datetime
) -> None:
    there = noun.load(session, [one.change.name for one in decisions])
    for one in decisions:
        change, known = one.change, there.get(one.change.name)
        what = f"{noun.kind} {change.name!r}"
        if noun.state(known) != one.state:
            raise Conflict(f"{what} was changed meanwhile: apply again")
        try:
            if change.action is Action.REMOVED:
                noun.remove(session, known, now)
            else:
                noun.save(session, one.stated, known, now)
        except (Conflict, Unprocessable) as error:
            raise Conflict(f"{what} cannot be saved any more ({error}): apply again") from None
        detail: dict[str, Any] = {"commit": source.commit, "dirty": source.dirty}
        if change.action is Action.CREATED:
            detail["configuration"] = one.after
        detail["fields"] = [asdict(field) for field in change.fields]
        action = noun.actions[change.action]
        audit(session, source.actor, action, change.name, detail, now)
