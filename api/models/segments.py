"""The segments of a model over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.server.dependencies import ReadDep, ReadModel
from db.tables import Model
from monitors.kind import RECENT
from services.read_models.overview import segments

router = APIRouter(prefix="/v1/models/{model}/segments", tags=["segments"])


@router.get("")
def read_segments(
    entry: ReadModel,
    session: ReadDep,
    days: Annotated[int, Query(ge=1, le=RECENT.days)] = segments.DAYS,
    version: Annotated[str | None, Query(max_length=100)] = None,
) -> segments.Segments:
    """Return the recent input of each segment, and the errors of its forecasts."""
    return segments.segments(session, session.get_one(Model, entry.model_id), days, version)
