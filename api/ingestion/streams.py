"""Discarding the rows because of which a stream is set aside, over HTTP."""

from fastapi import APIRouter
from pydantic import BaseModel

from api.server.dependencies import CallerDep, NowDep, OperateModel, PlatformDep
from services.ingest.batch import Feed
from services.retention.discard import discard

router = APIRouter(prefix="/v1/models/{model}/streams", tags=["streams"])


class DiscardedRead(BaseModel):
    """What was moved to quarantine; small batches of one group count as one."""

    stream: str
    batches: int
    rows: int


@router.post("/{stream}/discard")
def discard_stream(
    stream: Feed, entry: OperateModel, parts: PlatformDep, who: CallerDep, now: NowDep
) -> DiscardedRead:
    """Move the rows that block a stream to quarantine, after which it continues."""
    kind, lake = stream.kind, parts.settings.lake
    moved = discard(parts.sessions, lake, entry.model_id, kind, who.name, now)
    return DiscardedRead(stream=kind.value, batches=moved.n_batches, rows=moved.n_rows)
