"""Silences and maintenance windows in the configuration."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from api.alerting.silences import SilencePut, silence_of
from api.configuration.entries import parse
from core.clock import utcnow
from db.tables import Silence
from services.alerting import silences
from services.configuration.faults import Faults
from services.configuration.noun import Action, Stated
from services.models.registry import check_name

AUTHOR = "configuration"  # unless it is stated
EVER = datetime(1970, 1, 1, tzinfo=UTC)  # since when, unless it is stated


class Silences:
    """Which alerts are not notified, and when; to remove one is to end it."""

    kind, field, entry, batch = "Silence", "silences", SilencePut, 50
    actions: Mapping[Action, str] = {
        Action.CREATED: "silence.add",
        Action.CHANGED: "silence.update",
        Action.REMOVED: "silence.expire",
    }

    def load(
        self, session: Session, names: Collection[str] | None = None
    ) -> Mapping[str, Silence]:
        """Return every silence with a name, or those that are named."""
        return {str(row.name): row for row in silences.named(session, names)}

    def document(self, known: Silence | None) -> Mapping[str, Any] | None:
        """Return a silence with every field."""
        return None if known is None else _body(known).model_dump(mode="json")

    def exported(self, known: Silence) -> Mapping[str, Any] | None:
        """Return a silence without what has its default."""
        form = _body(known).model_dump(mode="json", exclude_defaults=True)
        defaults = {"author": AUTHOR, "starts_at": "1970-01-01T00:00:00Z"}
        return {name: of for name, of in form.items() if defaults.get(name) != of}

    def state(self, known: Silence | None) -> object:
        """Return what was put."""
        return None if known is None else known.definition

    def parse(self, name: str, raw: object, faults: Faults) -> SilencePut | None:
        """Return the body of a silence."""
        return parse(SilencePut, (self.field, name), raw, faults)

    def decide(
        self, stated: Stated, there: Mapping[str, Silence], faults: Faults
    ) -> Mapping[str, Any] | None:
        """Return the silence as it will be; one that is over may stay in a file."""
        path = self.field, stated.name
        with faults.at(*path):
            check_name("silence", stated.name)
            row = Silence(definition=silence_of(stated.entry, AUTHOR, EVER))
            after = _body(row).model_dump(mode="json")
            if row.definition.ends_at < utcnow() and after != self.document(
                there.get(stated.name)
            ):
                faults.add([*path, "ends_at"], "is in the past")
        return None if faults.has_under(*path) else after

    def refuse_removal(self, session: Session, names: Collection[str], faults: Faults) -> None:
        """Accept the removal of any silence."""

    def save(
        self, session: Session, stated: Stated, known: Silence | None, now: datetime
    ) -> None:
        """Add or change one."""
        definition = silence_of(stated.entry, AUTHOR, EVER)
        silences.put(session, definition, now, known, stated.name)

    def remove(self, session: Session, known: Silence, now: datetime) -> None:
        """End one."""
        known.name = None
        silences.expire(session, known, now)


def _body(row: Silence) -> SilencePut:
    return SilencePut.model_validate(asdict(row.definition))
