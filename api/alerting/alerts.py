"""Alerts, flips, findings and accuracy over HTTP."""

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from alerts.platform import PlatformFault
from alerts.state import Flip, Phase, Reason
from api.server.dependencies import ReachDep, ReadDep, ReadModel
from monitors.finding import Outcome
from services.platform_faults import platform_alerts
from services.read_models import lists

router = APIRouter(prefix="/v1", tags=["alerts"])

Limit = Annotated[int, Query(ge=1, le=1000)]


class AlertRead(BaseModel):
    """Where one alert stands; `since` is event time.

    `inhibited_by` names the input faults that keep a firing alert from being notified.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    model: str
    monitor: str
    kind: str
    severity: str
    phase: Phase
    since: datetime | None
    cause: str
    version: str | None
    inhibited_by: str | None


class PlatformAlertRead(BaseModel):
    """An open fault of the platform itself; `model` is null where all are concerned."""

    model_config = ConfigDict(from_attributes=True)

    kind: PlatformFault
    subject: str
    model: str | None
    cause: str
    since: datetime


class FlipRead(BaseModel):
    """The moment an alert changed: `at` in event time, the others in wall time.

    While `inhibited`, nobody was notified of it; `notified_at` is when the notification
    was queued, later than `recorded_at` where the alert was inhibited at first.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    model: str
    monitor: str
    kind: str
    severity: str
    flip: Flip
    reason: Reason
    cause: str
    inhibited: bool
    at: datetime
    recorded_at: datetime
    notified_at: datetime | None


class FindingRead(BaseModel):
    """What a monitor said about one window; `first` is what it said before it was revised."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    monitor: str
    kind: str
    severity: str
    outcome: Outcome
    value: float | None
    threshold: float | None
    cause: str
    window_start: datetime
    window_end: datetime
    as_of: datetime
    version: str | None
    detail: dict[str, Any]
    rev: int
    revised_at: datetime | None
    first: dict[str, Any] | None


class DayRead(BaseModel):
    """One event day of one version; `error` in units of the scaler, or the Brier score."""

    model_config = ConfigDict(from_attributes=True)

    day: date
    version: str
    is_shadow: bool
    error: float | None
    coverage: float
    n_predictions: int


class StepsRead(BaseModel):
    """A version's error at each step of the horizon, beside the seasonal naive one."""

    model_config = ConfigDict(from_attributes=True)

    version: str
    is_shadow: bool
    errors: list[float | None]
    naive: list[float | None]


class PartRead(BaseModel):
    """In which direction a version errs, so many steps ahead: over the last week with labels.

    `bias` is the mean of forecast less what happened, in units of the version's scaler;
    `error` the mean absolute one, or the part of a class in the Brier score;
    `too_high` and `far_off` (by a unit and more) are shares of the `n` labelled values.
    """

    model_config = ConfigDict(from_attributes=True)

    version: str
    part: str
    n: int
    bias: float
    error: float
    too_high: float
    far_off: float


class BinRead(BaseModel):
    """Claims of a class between two probabilities: their mean, and how often it happened."""

    model_config = ConfigDict(from_attributes=True)

    low: float
    high: float
    n: int
    predicted: float | None
    observed: float | None


class ClassRead(BaseModel):
    """Whether a class happens as often as is claimed: over the last week with labels.

    `error` is the root of the mean square, bin by bin, of how far claims are from what
    happened, less what chance adds. Only of models whose targets are their classes.
    """

    model_config = ConfigDict(from_attributes=True)

    version: str
    name: str
    n: int
    predicted: float
    observed: float
    error: float | None
    bins: list[BinRead]


class AccuracyRead(BaseModel):
    """How wrong a model was: by event day, and by step over its last week with labels."""

    model_config = ConfigDict(from_attributes=True)

    days: list[DayRead]
    steps: list[StepsRead]
    parts: list[PartRead]
    classes: list[ClassRead]


@router.get("/models/{model}/accuracy", response_model=AccuracyRead)
def read_accuracy(
    entry: ReadModel, session: ReadDep, days: Annotated[int, Query(ge=1, le=3660)] = 90
) -> lists.Accuracy:
    """Say how wrong a model was on its last event days."""
    return lists.accuracy(session, entry.model_id, entry.contract, days)


@router.get("/alerts", response_model=list[AlertRead])
def list_alerts(reach: ReachDep, session: ReadDep) -> list[lists.AlertNow]:
    """List every alert, quiet ones too."""
    return lists.alerts(session, reach)


@router.get("/platform-alerts", response_model=list[PlatformAlertRead])
def list_platform_alerts(reach: ReachDep, session: ReadDep) -> list[platform_alerts.OpenFault]:
    """List the open faults of the platform itself, oldest first."""
    return platform_alerts.described(session, reach)


@router.get("/flips", response_model=list[FlipRead])
def list_flips(reach: ReachDep, session: ReadDep, limit: Limit = 200) -> list[lists.FlipPast]:
    """List the newest flips, oldest first."""
    return lists.flips(session, reach, limit)


@router.get("/models/{model}/findings", response_model=list[FindingRead])
def list_findings(
    entry: ReadModel,
    session: ReadDep,
    monitor: str | None = None,
    outcome: Outcome | None = None,
    limit: Limit = 100,
) -> list[lists.FindingPast]:
    """List a model's newest findings, newest first."""
    return lists.findings(session, entry.model_id, monitor, outcome, limit)
