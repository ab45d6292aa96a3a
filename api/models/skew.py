"""Skew between training and serving, over HTTP: compared by a plug-in."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from msgspec import Meta
from pydantic import BaseModel, BeforeValidator, ConfigDict

from api.server.dependencies import PlatformDep, ReadDep, ReadModel
from api.server.json_route import body_of
from core.errors import Malformed, Unprocessable
from monitors import diagnosis
from monitors.diagnosis import DiagnosisRequest, Table
from monitors.kind import RECENT
from services.evaluation import input_history

PLUGIN = "seqwatch-skew"
MAX_BYTES = 8 * 2**20

router = APIRouter(
    prefix="/v1/models/{model}/skew",
    tags=["skew"],
    responses={501: {"description": f"The plug-in is unavailable: install {PLUGIN}."}},
)

Fault = StrEnum(
    "Fault",
    "UNIT SCALE OFFSET AFFINE DOUBLE_SCALING NOT_SCALED LAG TIME_ZONE REVERSED COLUMN_SWAP "
    "DTYPE FILL_VALUE CLIPPED MISSING",
)
FaultsVerdict = StrEnum("FaultsVerdict", "EQUAL CLOSE EXPLAINED UNEXPLAINED UNDETERMINED")
Parity = StrEnum("Parity", "PARITY MOVED DOUBLE_SCALING NOT_SCALED OTHER_SCALER UNDETERMINED")
Logged = StrEnum("Logged", "RAW SCALED")


class Read(BaseModel):
    """Read from the result of the plug-in."""

    model_config = ConfigDict(from_attributes=True)


class FaultRead(Read):
    """One fault: its name, its description, and its parameters.

    Attributes
    ----------
    fault
        The change of a feature between training and serving.
    """

    fault: Fault
    message: str
    parameters: dict[str, float | str]


def _faults(found: Iterable[Any]) -> list[dict[str, object]]:
    return [
        {"fault": one.fault, "message": one.message, "parameters": {**one.parameters}}
        for one in found
    ]


class FeatureSkewRead(Read):
    """Comparison of one column; `faults` in the order in which they were applied.

    Attributes
    ----------
    verdict
        `equal` to the last bit; `close` within the tolerance; `explained` by named faults;
        `unexplained`; `undetermined`: too few pairs, or a feature that does not vary.
    """

    name: str
    verdict: FaultsVerdict
    n: int
    n_missing: int
    equal_rate: float | None
    max_abs: float | None
    max_ulp: float | None
    distance: float | None
    faults: Annotated[list[FaultRead], BeforeValidator(_faults)]
    left: float | None
    also: list[list[Fault]]


class GoldenRead(Read):
    """Whether the rows would pass as golden vectors, and why not."""

    passed: bool
    reasons: list[str]


class SkewRead(Read):
    """Difference between online and offline, and the faults that explain it."""

    n_rows: int
    features: list[FeatureSkewRead]
    golden: GoldenRead


class ScalerParity(Read):
    """Comparison of one feature's scaler with its input.

    Attributes
    ----------
    verdict
        `parity`: within error. `moved`: beyond error, and still nearest to what the contract
        declares, as by a season. `double_scaling`, `not_scaled`: what the input would be then.
        `other_scaler`: beyond error, and no named case fits. `undetermined`: too few values.
    n_days
        With values.
    n_effective
        Effective number of independent days, for the mean; at most `n_days`.
    mean, sd
        Of the scaled input: 0 and 1 when the scaler fits.
    mean_error, sd_error
        Random error of these, so that a correct scaler is called wrong in 1 % of the
        comparisons of all features.
    """

    name: str
    verdict: Parity
    n_days: int
    n_effective: float | None = None
    mean: float | None = None
    mean_error: float | None = None
    sd: float | None = None
    sd_error: float | None = None


class ScalersRead(Read):
    """Every feature that has a scaler.

    Attributes
    ----------
    logged
        What the rows hold: values before the scaler, or after it.
    """

    logged: Logged
    features: list[ScalerParity]


Columns = Annotated[
    dict[str, list[float | list[float | None] | None]],
    Meta(description="By column: a number for each row, or a list of steps; null is missing."),
]


class Sides(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Two tables of the same rows, by column."""

    offline: Columns
    online: Columns
    at: Annotated[
        list[Annotated[datetime, Meta(tz=True)]] | None,
        Meta(description="Event times of the rows."),
    ] = None
    tolerance: Annotated[
        float, Meta(gt=0, le=1, description="Differences that are none, in spreads.")
    ] = 1e-5


_, _SCHEMAS = msgspec.json.schema_components([Sides])
_BODY = {"required": True, "content": {"application/json": {"schema": _SCHEMAS["Sides"]}}}


async def body_bytes(request: Request, parts: PlatformDep, _: ReadModel) -> bytes:
    """Read the body of an authorized caller, up to the largest size that is compared."""
    return await body_of(request, MAX_BYTES, parts.settings.body_time)


@router.post("", openapi_extra={"requestBody": _BODY})
def compare_skew(content: Annotated[bytes, Depends(body_bytes)], entry: ReadModel) -> SkewRead:
    """Compare the features of training and serving of the same events, and name the fault.

    Nothing is stored. Of a sensitive feature no number in its unit is shown.
    """
    skew = diagnosis.find("skew", PLUGIN)
    try:
        sides = msgspec.json.decode(content, type=Sides)
    except msgspec.ValidationError as error:
        raise Unprocessable(str(error)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Malformed("the body is no JSON") from None
    request = DiagnosisRequest(
        offline=Table(name="offline", columns=sides.offline),
        online=Table(name="online", columns=sides.online),
        at=sides.at,
        contract=entry.contract,
    )
    return SkewRead.model_validate(skew.run({"tolerance": sides.tolerance}, request))


@router.get("")
def read_scaler_parity(
    entry: ReadModel,
    session: ReadDep,
    days: Annotated[int, Query(ge=14, le=RECENT.days)] = 28,
    logged: Logged = Logged.RAW,
) -> ScalersRead:
    """Compare the scaler that the contract declares with the last days of input.

    `logged`: whether rows hold values before the scaler (`raw`) or after it.
    """
    parity = diagnosis.find("scaler_parity", PLUGIN)
    history = input_history.recent_hours(session, entry.model_id, days)
    request = DiagnosisRequest(contract=entry.contract, history=history)
    features = parity.run({"logged": logged.value}, request)
    return ScalersRead.model_validate({"logged": logged, "features": [*features]})
