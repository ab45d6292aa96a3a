"""Erasure on request, over HTTP."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import ConfigDict, Field, model_validator

from api.server.body import Body
from api.server.dependencies import ActDep, AdminModel, ReadDep
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from core.stored import from_attributes
from db.queries.log import erasure as stored
from db.tables import Erasure
from services.read_models.paging import Page
from services.retention import erasure_requests

router = APIRouter(prefix="/v1/models", tags=["erasures"], route_class=JsonRoute)


class ErasureAsk(Body):
    """What to erase, as it was sent: either a session or an entity."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    session_id: str | None = Field(default=None, min_length=1, max_length=1000)
    entity: str | None = Field(default=None, min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _one(self) -> "ErasureAsk":
        if (self.session_id is None) == (self.entity is None):
            raise ValueError("name either session_id or entity")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """Numbers of removed rows, by store.

    `log` counts predictions and labels; `waiting`, unpaired events of KServe.
    """

    log: int
    quarantine: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureRead:
    """One erasure. The session or entity is not returned: only a digest is stored.

    `error` is the kind of the last failure of one that is not finished; it is
    repeated.
    """

    id: UUID
    field: str
    state: str
    asked_by: str
    asked_at: datetime
    finished_at: datetime | None
    erased: Erased
    error: str | None


@router.post("/{model}/erasures", status_code=202)
def erase(body: ErasureAsk, entry: AdminModel, act: ActDep) -> ErasureRead:
    """Request the erasure of all rows of a session or an entity; a worker does it."""
    field = "entity" if body.session_id is None else "session_id"
    text = body.session_id or body.entity
    assert text is not None
    asked = erasure_requests.ask(
        act.session, entry.model_id, field, text, act.caller.name, act.now
    )
    act.record("erasure.ask", entry.name, {"erasure": str(asked.id), "field": field})
    return _read(asked)


@router.get("/{model}/erasures")
def list_erasures(entry: AdminModel, session: ReadDep, paging: PagingDep) -> Page[ErasureRead]:
    """List the requested erasures and their results, newest first."""
    asked = [_read(one) for one in stored.of_model(session, entry.model_id)]
    return paging.cut(asked, lambda one: str(one.id))


def _read(one: Erasure) -> ErasureRead:
    return from_attributes(
        ErasureRead,
        one,
        state="waiting" if one.finished_at is None else "finished",
        erased=Erased(
            log=one.n_lake or 0, quarantine=one.n_quarantined or 0, waiting=one.n_inbox or 0
        ),
    )
