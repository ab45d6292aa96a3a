"""Header of the pages about a model's rows."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.schema.contract import Contract
from db.queries import models
from db.tables import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One model, and the names of its versions, newest first."""

    model_id: UUID
    name: str
    contract: Contract
    versions: tuple[str, ...]


def subject(session: Session, name: str, only: UUID | None) -> Subject:
    """Return what is known of a model.

    Parameters
    ----------
    name
        The model's.
    only
        The one model that the visitor may see; None for all.

    Raises
    ------
    NotFound
        If there is no such model, or the visitor may not see it.
    """
    model = models.find(session, name)
    if only is not None and model.id != only:
        raise NotFound(f"no model {name!r}")
    newest_first = select(Version.name).where(Version.model_id == model.id)
    return Subject(
        model_id=model.id,
        name=model.name,
        contract=model.contract,
        versions=tuple(session.scalars(newest_first.order_by(Version.created_at.desc()))),
    )
