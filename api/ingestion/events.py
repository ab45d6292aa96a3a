"""Events of inference services, read back."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from api.ingestion.lookup import MAX_TEXT, as_json, stream
from api.server.body import Moment
from api.server.dependencies import PlatformDep, ReadModel
from api.server.paging import Cursor, Limit
from core.errors import Unprocessable
from core.schema.events import EVENT_TYPES
from services.read_models.export.export import export_events
from services.read_models.export.formats import Format
from services.read_models.lookup import events, paged
from services.read_models.lookup.events import EventCursor, EventQuery
from services.read_models.lookup.query import read, written
from services.read_models.lookup.snapshot import open_snapshot

router = APIRouter(prefix="/v1/models/{model}/events", tags=["lookup"])


class EventRead(BaseModel):
    """One event; the fields of other types are null."""

    event_id: str
    type: str
    at: datetime
    version: str | None
    session_id: str | None
    worker: str | None
    trace_id: str | None
    duration_seconds: float | None
    cpu_share: float | None
    gpu_share: float | None
    memory_share: float | None
    sequence_length: int | None
    queue_length: int | None
    size_bytes: int | None
    amount: float | None
    currency: str | None
    instance_seconds: float | None
    description: str | None
    received_at: datetime


class EventPage(BaseModel):
    """Events, newest first; `next_cursor` is null on the last page.

    `searched_back_to` is set when the time limit was reached before the page was
    full: continue with the cursor.
    """

    items: list[EventRead]
    next_cursor: str | None
    searched_back_to: datetime | None


class EventFilter(BaseModel):
    """Filter of events; a field that is left out does not filter."""

    since: Moment | None = Field(None, description="Event time, included.")
    until: Moment | None = Field(None, description="Event time, not included.")
    type: list[str] = Field(default_factory=list, description="Any of these types.")
    version: str | None = Field(None, max_length=MAX_TEXT)


def wanted(given: Annotated[EventFilter, Query()]) -> EventQuery:
    """Read a filter from the address."""
    for name in given.type:
        if name not in EVENT_TYPES:
            raise Unprocessable(f"type: expected one of {', '.join(EVENT_TYPES)}")
    return EventQuery(
        since=given.since, until=given.until, types=tuple(given.type), version=given.version
    )


WantedDep = Annotated[EventQuery, Depends(wanted)]


@router.get("", response_model=EventPage)
def list_events(
    entry: ReadModel,
    parts: PlatformDep,
    query: WantedDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List events, newest first, also those of versions that are not registered."""
    after = read(cursor, EventCursor) if cursor else None
    with open_snapshot(
        parts.sessions, parts.settings.lake, entry.model_id, events.KINDS
    ) as state:
        page = events.page(state, query, after, limit, paged.within())
    return as_json(
        {
            "items": page.rows,
            "next_cursor": page.cursor and written(page.cursor),
            "searched_back_to": page.searched_back_to,
        }
    )


@router.get(
    "/export",
    response_class=Response,
    responses={200: {"content": {form.media_type.split(";")[0]: {} for form in Format}}},
)
def export_all_events(
    entry: ReadModel,
    parts: PlatformDep,
    query: WantedDep,
    format: Annotated[Format, Query(description="Of the file.")] = Format.CSV,
) -> Response:
    """Export any number of events as a file, the oldest event day first."""
    pieces = export_events(parts.sessions, parts.settings.lake, entry.model_id, query, format)
    return stream(pieces, f"{entry.name}-events", format)
