"""Queries of models, versions and the champion."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from core.errors import NotFound
from core.schema.zone import Zone
from db.tables import Champion, Inbox, Model, Rollout, Version

_SOME = select(Model).where(Model.id.in_(bindparam("model_ids", expanding=True)))
_WITH_VERSIONS = (  # built once: it is read with every evaluation
    select(Model, Version, Champion.rev)
    .outerjoin(Version, Version.model_id == Model.id)
    .outerjoin(Champion, Champion.version_id == Version.id)
    .where(Model.id == bindparam("model_id"))
    .order_by(Version.created_at, Version.name)
)


def named(name: str) -> Select[Model]:
    """Select the model of that name."""
    return select(Model).where(Model.name == name)


def version_named(model_id: UUID, name: str) -> Select[Version]:
    """Select a model's version of that name."""
    return select(Version).where(Version.model_id == model_id, Version.name == name)


def labelled(
    session: Session, only: UUID | None = None
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return name, group and tags of every model, or of the only one, by name."""
    query = select(Model.name, Model.group, Model.tags).order_by(Model.name)
    found = session.execute(query if only is None else query.where(Model.id == only))
    return [(name, group, tags) for name, group, tags in found]


def find(session: Session, name: str) -> Model:
    """Return the model of that name, or raise NotFound."""
    model = session.scalar(named(name))
    if model is None:
        raise NotFound(f"no model {name!r}")
    return model


def lock(session: Session, model_id: UUID) -> None:
    """Let nobody else change a model until the transaction is over."""
    own = select(Model.id).where(Model.id == model_id)
    session.execute(own.with_for_update(key_share=True))


def find_version(session: Session, model_id: UUID, name: str) -> Version:
    """Return a model's version of that name, or raise NotFound."""
    version = session.scalar(version_named(model_id, name))
    if version is None:
        raise NotFound(f"no version {name!r} of this model")
    return version


def some(session: Session, model_ids: Collection[UUID]) -> list[Model]:
    """Return some models."""
    return [*session.scalars(_SOME, {"model_ids": [*model_ids]})]


def zone_of(model: Model) -> Zone:
    """Return the time zone of a model's contract."""
    return Zone(model.contract.zone)


def versions(session: Session, *model_ids: UUID) -> list[Version]:
    """Return the versions of some models, oldest first."""
    return [
        *session.scalars(
            select(Version)
            .where(Version.model_id.in_(model_ids))
            .order_by(Version.created_at, Version.name)
        )
    ]


def champion(session: Session, model_id: UUID) -> tuple[Champion, Version] | None:
    """Return the pointer and the version that it points to; None before the first."""
    found = session.execute(
        select(Champion, Version)
        .join(Version, Version.id == Champion.version_id)
        .where(Champion.model_id == model_id)
    ).one_or_none()
    return None if found is None else (found[0], found[1])


def with_versions(
    session: Session, model_id: UUID
) -> tuple[Model, list[Version], Version | None]:
    """Return a model, its versions, oldest first, and the one of them that serves.

    Raises
    ------
    NoResultFound
        If there is no such model.
    """
    found = session.execute(_WITH_VERSIONS, {"model_id": model_id}).all()
    if not found:
        raise NoResultFound(f"no model {model_id}")
    rows: list[tuple[Version | None, int | None]] = [(row[1], row[2]) for row in found]
    versions = [version for version, _ in rows if version is not None]
    champion = next((version for version, rev in rows if rev is not None), None)
    return found[0][0], versions, champion


def backlog(session: Session, model_id: UUID) -> tuple[int, int]:
    """Return rows and bytes that are accepted but not yet in the lake."""
    return backlogs(session, [model_id]).get(model_id, (0, 0))


def backlogs(session: Session, model_ids: Collection[UUID]) -> dict[UUID, tuple[int, int]]:
    """Return rows and bytes that are accepted but not yet in the lake, by model with any."""
    found = session.execute(
        select(Inbox.model_id, func.sum(Inbox.n_rows), func.sum(Inbox.n_bytes))
        .where(Inbox.model_id.in_(model_ids))
        .group_by(Inbox.model_id)
    )
    return {model_id: (int(rows), int(size)) for model_id, rows, size in found}


def open_rollout(session: Session, model_id: UUID) -> Rollout | None:
    """Return the one rollout of a model that is not over, or None."""
    return session.scalar(
        select(Rollout).where(Rollout.model_id == model_id, Rollout.finished_at.is_(None))
    )
