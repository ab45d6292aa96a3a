"""Skew between training and serving, over HTTP."""

import math
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict

from api.server.dependencies import PlatformDep, ReadDep, ReadModel
from core.errors import Malformed, Unprocessable
from monitors.kind import RECENT
from monitors.skew import comparison
from monitors.skew.comparison import FeatureSkew
from monitors.skew.faults import Fault, Verdict
from monitors.skew.scaler_comparison import Logged, ScalerParity
from services.access.request_body import at_most, read_body
from services.skew import compare

router = APIRouter(prefix="/v1/models/{model}/skew", tags=["skew"])

MAX_BYTES = 8 * 2**20


class FaultRead(BaseModel):
    """One fault: its name, in words, and its parameters."""

    fault: Fault
    said: str
    parameters: dict[str, float | str]


class FeatureSkewRead(BaseModel):
    """One column, compared; `faults` in the order in which they were made."""

    name: str
    verdict: Verdict
    n: int
    n_missing: int
    equal_rate: float | None
    max_abs: float | None
    max_ulp: float | None
    distance: float | None
    faults: list[FaultRead]
    left: float | None
    also: list[list[Fault]]


class GoldenRead(BaseModel):
    """Whether the rows would pass as golden vectors, and why not."""

    model_config = ConfigDict(from_attributes=True)

    passed: bool
    reasons: list[str]


class SkewRead(BaseModel):
    """How far online is from offline, and what was done to it."""

    n_rows: int
    features: list[FeatureSkewRead]
    golden: GoldenRead


class ScalersRead(BaseModel):
    """Every feature that has a scaler."""

    logged: Logged
    features: tuple[ScalerParity, ...]


class Sides(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body, read at once: two tables of the same rows, as columns."""

    offline: dict[str, list[compare.Cell]]
    online: dict[str, list[compare.Cell]]
    at: list[Annotated[datetime, msgspec.Meta(tz=True)]] | None = None
    tolerance: Annotated[float, msgspec.Meta(gt=0, le=1)] = comparison.TOLERANCE


_COLUMNS = {
    "type": "object",
    "description": "By column: a number for each row, or a list of steps; null is missing.",
    "additionalProperties": {
        "type": "array",
        "items": {"type": ["number", "array", "null"], "items": {"type": ["number", "null"]}},
    },
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["offline", "online"],
                    "additionalProperties": False,
                    "properties": {
                        "offline": _COLUMNS,
                        "online": _COLUMNS,
                        "at": {
                            "type": ["array", "null"],
                            "items": {"type": "string", "format": "date-time"},
                            "description": "Event times of the rows.",
                        },
                        "tolerance": {
                            "type": "number",
                            "exclusiveMinimum": 0,
                            "maximum": 1,
                            "default": comparison.TOLERANCE,
                            "description": "Differences that are none, in spreads.",
                        },
                    },
                }
            }
        },
    }
}


async def body_bytes(request: Request, parts: PlatformDep, _: ReadModel) -> bytes:
    """Read a permitted caller's body, and no more of it than is compared."""
    return await read_body(
        request.headers.get("content-length"),
        request.receive,
        at_most(MAX_BYTES),
        parts.settings.body_time,
    )


@router.post("", openapi_extra=_BODY)
def compare_skew(content: Annotated[bytes, Depends(body_bytes)], entry: ReadModel) -> SkewRead:
    """Compare what training and serving made of the same events, and name the fault.

    Nothing is stored. Of a sensitive feature no number in its unit is shown.
    """
    try:
        sides = msgspec.json.decode(content, type=Sides)
    except msgspec.ValidationError as error:
        raise Unprocessable(str(error)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Malformed("the body is no JSON") from None
    asked = compare.ComparisonRequest(
        offline=sides.offline, online=sides.online, at=sides.at, tolerance=sides.tolerance
    )
    found = compare.compare(asked, entry.contract)
    return SkewRead(
        n_rows=found.n_rows,
        features=[_read(feature) for feature in found.features],
        golden=GoldenRead.model_validate(found.golden),
    )


def _read(feature: FeatureSkew) -> FeatureSkewRead:
    return FeatureSkewRead(
        name=feature.name,
        verdict=feature.verdict,
        n=feature.n,
        n_missing=feature.n_missing,
        equal_rate=None if math.isnan(feature.equal_rate) else feature.equal_rate,
        max_abs=feature.max_abs,
        max_ulp=feature.max_ulp,
        distance=feature.distance,
        faults=[
            FaultRead(fault=one.fault, said=one.message, parameters={**one.parameters})
            for one in feature.faults
        ],
        left=feature.left,
        also=[[*kinds] for kinds in feature.also],
    )


@router.get("")
def read_scaler_parity(
    entry: ReadModel,
    session: ReadDep,
    days: Annotated[int, Query(ge=14, le=RECENT.days)] = 28,
    logged: Logged = Logged.RAW,
) -> ScalersRead:
    """Hold the scaler that the contract declares against the last days of input.

    `logged` says whether rows hold values before the scaler (`raw`) or after it.
    """
    found = compare.scaler_parity(session, entry.model_id, days, logged)
    return ScalersRead(logged=logged, features=found)
