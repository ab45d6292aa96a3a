"""Sources of a model over HTTP: where its predictions and labels are pulled from."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field
from sqlalchemy.orm import Session

from api.server.body import Body
from api.server.dependencies import (
    ActDep,
    OperateModel,
    PreconditionDep,
    ReadDep,
    ReadModel,
    entity_tag,
)
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from api.server.responses import created
from core.durations import MINUTE, Duration
from core.schema.rows import Kind
from core.stored import from_attributes
from db.queries import sources
from db.tables import SourceRow
from services.ingest.mapping.layout import MappingOptions, Unit
from services.models import registry
from services.models.registry import Entry
from services.read_models.paging import Page
from services.sources import definitions
from services.sources.definitions import SourceNow, SourcePlan

router = APIRouter(prefix="/v1/models/{model}/sources", tags=["sources"], route_class=JsonRoute)


class SourcePut(Body):
    """Configuration of a source, and the mapping of its columns to fields.

    Attributes
    ----------
    kind
        That of a plug-in.
    config
        As the kind declares it. A secret that is left out is kept.
    mapping
        Column by field, or columns of a list; equal names are mapped without it.
    version, entity
        For all rows.
    timezone, epoch
        Zone of times without one; unit of whole numbers as times.
    every
        Between two pulls.
    expect_within
        Longest time without a row; by default by its own arrivals.
    """

    kind: str
    config: dict[str, str | int | float | bool | list[str] | None] = Field(default_factory=dict)
    stream: Kind
    mapping: dict[str, str | list[str]] = Field(default_factory=dict)
    version: str | None = None
    entity: str | None = None
    timezone: str | None = None
    epoch: Unit | None = None
    every: Duration = 5 * MINUTE
    expect_within: Duration | None = None
    enabled: bool = True

    def plan(self, name: str) -> SourcePlan:
        """Return the definition."""
        columns = {
            field: (of,) if isinstance(of, str) else tuple(of)
            for field, of in self.mapping.items()
        }
        return from_attributes(
            SourcePlan,
            self,
            name=name,
            mapping=from_attributes(MappingOptions, self, columns=columns),
        )


@router.get("")
def list_sources(entry: ReadModel, session: ReadDep, paging: PagingDep) -> Page[SourceNow]:
    """List a model's sources with their watermarks, by name."""
    found = map(definitions.described, sources.of_model(session, entry.model_id))
    return paging.cut([*found], lambda source: source.name)


@router.get("/{name}")
def read_source(name: str, entry: ReadModel, session: ReadDep, answer: Response) -> SourceNow:
    """Describe one source; the entity tag changes with what was put, not with its state."""
    source = definitions.find(session, entry.model_id, name)
    answer.headers["ETag"] = _tag(source)
    return definitions.described(source)


@router.put("/{name}", responses=created(SourceNow))
def put_source(
    name: str,
    body: SourcePut,
    answer: Response,
    entry: OperateModel,
    act: ActDep,
    precondition: PreconditionDep,
) -> SourceNow:
    """Add a source, or change it; pulls continue from its watermark.

    Another configuration or mapping accepts its columns as they are at the next pull.
    """
    registry.check_name("source", name)
    precondition.check(lambda: _locked_tag(act.session, entry, name))
    is_new = definitions.put(act.session, entry.model_id, body.plan(name), act.now)
    action = "source.add" if is_new else "source.update"
    act.record(action, f"{entry.name}/{name}", {"kind": body.kind, "stream": body.stream.value})
    source = definitions.find(act.session, entry.model_id, name)
    answer.status_code = 201 if is_new else 200
    answer.headers["ETag"] = _tag(source)
    return definitions.described(source)


@router.delete("/{name}", status_code=204, response_class=Response)
def delete_source(
    name: str, entry: OperateModel, act: ActDep, precondition: PreconditionDep
) -> None:
    """Delete a source; its rows stay."""
    precondition.check(lambda: _locked_tag(act.session, entry, name))
    definitions.delete(act.session, entry.model_id, name)
    act.record("source.delete", f"{entry.name}/{name}")


@router.post("/{name}/pull", status_code=202)
def pull_source(
    name: str,
    entry: OperateModel,
    act: ActDep,
    accept_columns: Annotated[bool, Query()] = False,
) -> SourceNow:
    """Request a pull now; a worker does it, also where the source is not enabled.

    With `accept_columns` the columns that the source has then take the place of those that
    its first page had.
    """
    source = definitions.ask(
        act.session, entry.model_id, name, act.now, accepts_columns=accept_columns
    )
    act.record("source.pull", f"{entry.name}/{name}", {"accept_columns": accept_columns})
    return definitions.described(source)


def _tag(source: SourceRow) -> str:
    return entity_tag(
        source.kind,
        source.config,
        source.stream,
        source.mapping,
        source.every,
        source.expect_within,
        source.enabled,
    )


def _locked_tag(session: Session, entry: Entry, name: str) -> str:
    source = definitions.find(session, entry.model_id, name)
    session.refresh(source, with_for_update=True)
    return _tag(source)
