"""Extension point of the configuration: what a noun, such as models or channels, declares."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy.orm import Session

from services.configuration.differences import Difference
from services.configuration.faults import Faults


class Action(StrEnum):
    """What becomes of an object."""

    CREATED = "created"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationChange:
    """What becomes of one object, as it is reported and audited.

    Attributes
    ----------
    kind
        As in a file, such as `Model`.
    fields
        Those that change; empty of an object that is created or removed.
    """

    kind: str
    name: str
    action: Action
    fields: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a document states of one object: its name, its entry as parsed, whether to prune."""

    name: str
    entry: Any
    prune: bool


class Noun(Protocol):
    """One kind of object of the configuration, in one module.

    A document holds its objects under `field`, by name; a file holds one, with its `kind`.
    Where an object is None there is none of that name.

    Attributes
    ----------
    entry
        Class of what a document holds of one object.
    actions
        Names of the changes in the audit log.
    batch
        How many objects are saved in one transaction, within a second at most.
    """

    kind: str
    field: str
    entry: type[Any]
    actions: Mapping[Action, str]
    batch: int

    def load(self, session: Session, names: Collection[str] | None = None) -> Any:
        """Return a mapping of what there is, by name, in a constant number of statements.

        Objects that are named are locked until the transaction ends.
        """

    def document(self, known: Any | None) -> Mapping[str, Any] | None:
        """Return an object with every field; secrets are replaced by variables."""

    def exported(self, known: Any) -> Mapping[str, Any] | None:
        """Return an object as a file holds it, without what has its default."""

    def state(self, known: Any | None) -> object:
        """Return what must not change between the decision and the save."""

    def parse(self, name: str, raw: object, faults: Faults) -> Any | None:
        """Return an entry of a document; None where something is wrong."""

    def decide(self, stated: Stated, there: Any, faults: Faults) -> Mapping[str, Any] | None:
        """Return the object as it will be, given what `load` returned; None if it is wrong."""

    def refuse_removal(self, session: Session, names: Collection[str], faults: Faults) -> None:
        """Add a fault for each object that cannot be removed now."""

    def save(self, session: Session, stated: Stated, known: Any | None, now: datetime) -> None:
        """Make one object be as stated."""

    def remove(self, session: Session, known: Any, now: datetime) -> None:
        """Remove one object."""
