"""The segments of a model over HTTP."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from api.server.dependencies import ReadDep, ReadModel
from db.tables import Model
from monitors.kind import RECENT
from services.read_models.overview import segments
from services.read_models.overview.segments import Sort

router = APIRouter(prefix="/v1/models/{model}/segments", tags=["segments"])


class FeatureRead(BaseModel):
    """One number of the input of a segment."""

    model_config = ConfigDict(from_attributes=True)

    n: int
    n_missing: int
    mean: float | None
    sd: float | None


class ErrorRead(BaseModel):
    """Mean absolute errors in units of the scaler; `naive` repeats what was a season ago.

    Of a classifier, Brier scores: of a class its part, over all classes the sum.
    """

    model_config = ConfigDict(from_attributes=True)

    n_expected: int
    n_labelled: int
    error: float | None
    naive: float | None


class SegmentRead(BaseModel):
    """One segment: `named`, or the rows without a value (`none`), or all others (`other`)."""

    model_config = ConfigDict(from_attributes=True)

    sort: Sort
    number: int | None
    name: str | None
    features: dict[str, FeatureRead]
    errors: dict[str, ErrorRead]
    error: ErrorRead


class SegmentsRead(BaseModel):
    """All segments, those with the largest error first; `by` is null where there are none."""

    model_config = ConfigDict(from_attributes=True)

    by: str | None
    until: datetime | None
    days: int
    segments: list[SegmentRead]


@router.get("", response_model=SegmentsRead)
def list_segments(
    entry: ReadModel,
    session: ReadDep,
    days: Annotated[int, Query(ge=1, le=RECENT.days)] = segments.DAYS,
    version: Annotated[str | None, Query(max_length=100)] = None,
) -> segments.Segments:
    """Say what each segment sent lately, and how wrong the forecasts for it were."""
    return segments.segments(session, session.get_one(Model, entry.model_id), days, version)
