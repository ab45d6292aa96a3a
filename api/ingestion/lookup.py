"""Look up predictions by id, session or filter, and rows that broke the contract."""

from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api.server.body import Moment
from api.server.dependencies import PlatformDep, ReadDep, ReadModel
from api.server.paging import Cursor, Limit
from core.errors import NotFound, NotFoundYet
from core.schema.rows import Status
from services.read_models.export.export import ExportRequest, export
from services.read_models.export.formats import Format
from services.read_models.lookup import by_id, paged, quarantine, timeline
from services.read_models.lookup.query import (
    ListCursor,
    RowCursor,
    SessionCursor,
    read,
    written,
)
from services.read_models.lookup.query import Query as Wanted
from services.read_models.lookup.rows import Store
from services.read_models.lookup.snapshot import open_snapshot
from services.read_models.paging import Page

router = APIRouter(prefix="/v1/models/{model}", tags=["lookup"])

MAX_TEXT = 1024  # characters of an id


class LabelRead(BaseModel):
    """Labels by target and step; null where one has not arrived yet.

    `error` is prediction minus label, empty where the task compares lists;
    `loss` is that of the task over the whole prediction, in natural units.
    """

    actual: dict[str, list[float | str | None] | None]
    error: dict[str, list[float | None]]
    loss: float | None
    arrived_at: datetime


class PredictionRead(BaseModel):
    """One prediction, where it is stored, how often it was sent, and its label."""

    prediction_id: str
    version: str
    at: datetime
    entity: str | None
    session_id: str | None
    step_index: int | None
    features: dict[str, list[float | str | None] | None]
    output: dict[str, list[float | str | None] | None] | None
    status: Status
    shadow: bool
    latency_seconds: float | None
    session_start: bool | None
    session_end: bool | None
    cold_start: bool | None
    queue_length: int | None
    batch_size: int | None
    trace_id: str | None
    cost: float | None
    worker: str | None
    received_at: datetime
    kept_in: Store
    sent: int
    label: LabelRead | None


class PredictionPage(BaseModel):
    """Predictions, newest event first; `next_cursor` is null on the last page.

    `searched_back_to` is set when the time limit was reached before the page was
    full: continue with the cursor.
    """

    items: list[PredictionRead]
    next_cursor: str | None
    searched_back_to: datetime | None


class SessionPage(PredictionPage):
    """Steps of a session, in the order in which they happened."""

    session_id: str
    first: datetime | None
    last: datetime | None
    n_rows: int


class FilterRead(BaseModel):
    """Filter of predictions; a field that is left out does not filter."""

    since: Moment | None = Field(None, description="Event time, included.")
    until: Moment | None = Field(None, description="Event time, not included.")
    version: str | None = Field(None, max_length=MAX_TEXT)
    entity: str | None = Field(None, max_length=MAX_TEXT)
    session: str | None = Field(None, max_length=MAX_TEXT)
    status: Status | None = None
    labelled: bool | None = Field(None, description="Whether a label of any step is in.")
    shadow: bool | None = None
    trace_id: str | None = Field(None, max_length=MAX_TEXT)


def wanted(given: Annotated[FilterRead, Query()]) -> Wanted:
    """Read a filter from the address."""
    named = given.model_dump(exclude={"session"})
    return Wanted(**named, session_id=given.session)


WantedDep = Annotated[Wanted, Depends(wanted)]


@router.get("/predictions", response_model=PredictionPage)
def list_predictions(
    entry: ReadModel,
    parts: PlatformDep,
    query: WantedDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List predictions with their labels, newest event first."""
    after = read(cursor, ListCursor) if cursor else None
    with open_snapshot(parts.sessions, parts.settings.lake, entry.model_id) as state:
        page = paged.page(state, query, after, limit, paged.within())
    return as_json(
        {
            "items": [row.to_json() for row in page.rows],
            "next_cursor": page.cursor and written(page.cursor),
            "searched_back_to": page.searched_back_to,
        }
    )


@router.get(
    "/export",
    response_class=Response,
    responses={200: {"content": {form.media_type.split(";")[0]: {} for form in Format}}},
)
def export_predictions(
    entry: ReadModel,
    parts: PlatformDep,
    query: WantedDep,
    format: Annotated[Format, Query(description="Of the file.")] = Format.CSV,
    with_labels: Annotated[bool, Query(description="Add what happened.")] = False,
) -> Response:
    """Export any number of predictions as a file, the oldest event day first."""
    order = ExportRequest(
        model_id=entry.model_id, query=query, form=format, with_labels=with_labels
    )
    return stream(export(parts.sessions, parts.settings.lake, order), entry.name, format)


def stream(pieces: Iterator[bytes], name: str, form: Format) -> Response:
    """Answer with a file that is streamed."""
    first = next(pieces)  # an error before the first piece still has its own status
    return StreamingResponse(
        chain([first], pieces),
        media_type=form.media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}.{form}"'},
    )


@router.get("/predictions/{prediction_id:path}", response_model=PredictionRead)
def read_prediction(
    prediction_id: Annotated[str, Path(max_length=MAX_TEXT)],
    entry: ReadModel,
    parts: PlatformDep,
    at: Annotated[
        Moment | None, Query(description="Its event time, give or take a day.")
    ] = None,
    cursor: Cursor = None,
) -> Response:
    """Find one prediction by its id: the newest rows first, then further back."""
    after = read(cursor, ListCursor) if cursor else None
    with open_snapshot(parts.sessions, parts.settings.lake, entry.model_id) as state:
        found = by_id.prediction(
            state, prediction_id, near=at, after=after, stop=paged.within()
        )
    if found is None:
        raise NotFound(
            "no prediction of that id" + (" within a day of that time" if at else "")
        )
    if isinstance(found, by_id.Unfinished):
        raise NotFoundYet(found.searched_back_to, written(found.cursor))
    return as_json(found.to_json())


@router.get("/sessions/{session_id:path}", response_model=SessionPage)
def read_session(
    session_id: Annotated[str, Path(max_length=MAX_TEXT)],
    entry: ReadModel,
    parts: PlatformDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Return a session from its first step to its last."""
    after = read(cursor, SessionCursor) if cursor else None
    with open_snapshot(parts.sessions, parts.settings.lake, entry.model_id) as state:
        found = timeline.timeline(state, session_id, after, limit, paged.within())
    if found is None:
        raise NotFound("no session of that id")
    return as_json(
        {
            "session_id": session_id,
            "first": found.first,
            "last": found.last,
            "n_rows": found.n_rows,
            "items": [row.to_json() for row in found.rows],
            "next_cursor": found.cursor and written(found.cursor),
            "searched_back_to": found.searched_back_to,
        }
    )


@router.get("/quarantine")
def list_quarantine(
    entry: ReadModel,
    session: ReadDep,
    field: Annotated[
        str | None, Query(max_length=MAX_TEXT, description="As named there.")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[quarantine.BadRow]:
    """List the rows that broke the contract, newest first."""
    after = read(cursor, RowCursor) if cursor else None
    found = quarantine.bad_rows(session, entry.model_id, field, after, limit)
    return Page(items=found.rows, next_cursor=written(found.cursor) if found.cursor else None)


def as_json(content: dict[str, Any]) -> Response:
    """Answer with rows, without FastAPI's validation: it would take most of the time."""
    return Response(msgspec.json.encode(content), media_type="application/json")
