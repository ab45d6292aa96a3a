"""Trainers by name: a kind and its configuration, which policies refer to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFound, Unprocessable
from db.queries.unique import insert_unique
from db.tables import TrainerConfig
from notify.trainer import BUILTIN, TRAINERS


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedTrainer:
    """What a start of a training needs to know of its trainer."""

    kind: str
    config: Mapping[str, Any]


def put(
    session: Session, name: str, kind: str, config: Mapping[str, object], now: datetime
) -> tuple[TrainerConfig, bool]:
    """Add a trainer, or change it; return it, and whether it is new.

    Raises
    ------
    Unprocessable
        If there is no such kind, the configuration is not one, or the name is that of ours.
    """
    if name == BUILTIN:
        raise Unprocessable(f"trainer {BUILTIN!r} is always there, without a configuration")
    declared = TRAINERS.find(kind)
    trainer = session.scalar(select(TrainerConfig).where(TrainerConfig.name == name))
    is_new = trainer is None
    if trainer is None:
        trainer = TrainerConfig(name=name, kind=kind, config={}, created_at=now)
    before = trainer.config if trainer.kind == kind else {}
    trainer.config = declared.stored(config, before)
    trainer.kind = kind
    if is_new:
        insert_unique(session, trainer, f"concurrent creation of trainer {name}; retry")
    return trainer, is_new


def public_config(trainer: TrainerConfig) -> dict[str, Any]:
    """Return the configuration without secrets; nothing of a kind that is unavailable."""
    kind = TRAINERS.get(trainer.kind)
    return {} if kind is None else kind.public(trainer.config)


def find(session: Session, name: str) -> TrainerConfig:
    """Return the trainer of that name, or raise NotFound."""
    trainer = session.scalar(select(TrainerConfig).where(TrainerConfig.name == name))
    if trainer is None:
        raise NotFound(f"no trainer {name!r}")
    return trainer


def every(session: Session) -> list[TrainerConfig]:
    """Return all trainers that were configured, by name."""
    return [*session.scalars(select(TrainerConfig).order_by(TrainerConfig.name))]


def resolve(session: Session, name: str) -> UsedTrainer:
    """Return kind and configuration of a trainer that a policy names; else as `chosen`."""
    return chosen(every(session), name)


def chosen(configured: Iterable[TrainerConfig], name: str) -> UsedTrainer:
    """Return kind and configuration of one of the trainers that were configured, or of ours.

    Raises
    ------
    Unprocessable
        If there is none of that name, listing those there are, or its kind is unavailable.
    """
    trainers = {one.name: one for one in configured}
    if name != BUILTIN and name not in trainers:
        raise Unprocessable(f"no trainer {name!r}; known: {', '.join([BUILTIN, *trainers])}")
    row = trainers.get(name)
    found = UsedTrainer(kind=BUILTIN, config={}) if row is None else _configured(row)
    TRAINERS.find(found.kind)
    return found


def _configured(row: TrainerConfig) -> UsedTrainer:
    return UsedTrainer(kind=row.kind, config=row.config)
