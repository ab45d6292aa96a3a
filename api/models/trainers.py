"""Trainers over HTTP. A secret is not returned."""

from datetime import datetime
from typing import TypeAlias

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from api.server.body import Body
from api.server.dependencies import (
    ActDep,
    AdminDep,
    PreconditionDep,
    ReadDep,
    entity_tag,
)
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from api.server.responses import created
from db.tables import TrainerConfig
from services.models import registry, trainer_config
from services.read_models.paging import Page

router = APIRouter(prefix="/v1/trainers", tags=["trainers"], route_class=JsonRoute)

Config: TypeAlias = dict[str, str | int | float | bool | list[str] | None]


class TrainerPut(Body):
    """Kind and configuration of a trainer; a secret that is left out is kept."""

    kind: str
    config: Config = Field(default_factory=dict)


class TrainerRead(BaseModel):
    """A trainer, without its secrets; `config` is empty while its kind is unavailable."""

    name: str
    kind: str
    config: Config
    created_at: datetime


@router.get("")
def list_trainers(_: AdminDep, session: ReadDep, paging: PagingDep) -> Page[TrainerRead]:
    """List the trainers that were configured, by name."""
    known = [*map(_read, trainer_config.every(session))]
    return paging.cut(known, lambda trainer: trainer.name)


@router.get("/{name}")
def read_trainer(name: str, _: AdminDep, session: ReadDep, answer: Response) -> TrainerRead:
    """Describe one trainer."""
    trainer = trainer_config.find(session, name)
    answer.headers["ETag"] = _tag(trainer)
    return _read(trainer)


@router.put("/{name}", responses=created(TrainerRead))
def put_trainer(
    name: str,
    body: TrainerPut,
    answer: Response,
    _: AdminDep,
    act: ActDep,
    precondition: PreconditionDep,
) -> TrainerRead:
    """Add a trainer, or change it."""
    registry.check_name("trainer", name)
    precondition.check(lambda: _locked_tag(act.session, name))
    trainer, is_new = trainer_config.put(act.session, name, body.kind, body.config, act.now)
    act.record("trainer.add" if is_new else "trainer.update", name, {"kind": body.kind})
    answer.status_code = 201 if is_new else 200
    answer.headers["ETag"] = _tag(trainer)
    return _read(trainer)


@router.delete("/{name}", status_code=204, response_class=Response)
def delete_trainer(name: str, _: AdminDep, act: ActDep, precondition: PreconditionDep) -> None:
    """Delete a trainer; models whose policy names it cannot be retrained."""
    precondition.check(lambda: _locked_tag(act.session, name))
    act.session.delete(trainer_config.find(act.session, name))
    act.record("trainer.delete", name)


def _read(trainer: TrainerConfig) -> TrainerRead:
    return TrainerRead(
        name=trainer.name,
        kind=trainer.kind,
        config=trainer_config.public_config(trainer),
        created_at=trainer.created_at,
    )


def _tag(trainer: TrainerConfig) -> str:
    return entity_tag(trainer.kind, trainer.config)


def _locked_tag(session: Session, name: str) -> str:
    trainer = trainer_config.find(session, name)
    session.refresh(trainer, with_for_update=True)
    return _tag(trainer)
