"""Reports of a trainer, with the token that its training was started with.

The token has no scope: it gives access only to these routes, of its rollout.
"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from api.server.body import Body
from api.server.dependencies import CallerDep, NowDep, PlatformDep, SessionDep
from api.server.json_route import JsonRoute, artifact_of
from api.server.responses import WEIGHTS
from core.errors import Forbidden, ForeignArtifact
from core.stored import from_attributes
from db.session import read_only
from db.tables import Model, Rollout
from retrain.artifact_header import sha256_of
from retrain.manifest import TrainingFigures
from retrain.rollout import Phase
from retrain.template import Epoch, of_artifact
from services.access.api_keys import digest_of, token_in
from services.models import artifacts
from services.rollouts import received_candidate
from services.rollouts.received_candidate import TrainingToken
from services.rollouts.training_state import HandedIn

router = APIRouter(
    prefix="/v1/rollouts/{rollout_id}/training", tags=["trainers"], route_class=JsonRoute
)


class ProgressReport(Body):
    """Progress of a training; errors are mean absolute, standardised."""

    number: int = Field(ge=1, le=2**31 - 1, description="Epochs done.")
    training_error: float | None = Field(default=None, allow_inf_nan=False)
    validation_error: float | None = Field(default=None, allow_inf_nan=False)


class FailureReport(Body):
    """Why a training failed, or was cancelled."""

    error: str = Field(min_length=1, max_length=1000)


class CandidateReport(BaseModel):
    """Checksum of a candidate, and how it was trained."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Of the artifact.")
    code: str = Field(default="", max_length=200, description="Version of what trained it.")
    n_windows: int | None = Field(default=None, ge=0, le=2**53)
    n_epochs: int | None = Field(default=None, ge=0, le=2**53)
    training_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    validation_error: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    objective: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Of a first version's accuracy."
    )


class TrainingRead(BaseModel):
    """State of the rollout of a training."""

    phase: Phase


def training_token(rollout_id: UUID, who: CallerDep, request: Request) -> TrainingToken:
    """Return the token of this rollout's training; other callers are refused."""
    if who.rollout_id != rollout_id:
        raise Forbidden("only the token that this rollout's trainer was started with opens it")
    token = token_in(request.headers.get("authorization")) or ""
    return TrainingToken(rollout_id=rollout_id, digest=digest_of(token))


TokenDep = Annotated[TrainingToken, Depends(training_token)]


@router.post("/progress")
def report_progress(
    body: ProgressReport, token: TokenDep, session: SessionDep, now: NowDep
) -> TrainingRead:
    """Report the progress of a training."""
    epoch = Epoch(**body.model_dump())
    rollout = received_candidate.report_progress(session, token, epoch, now)
    return TrainingRead(phase=rollout.phase)


@router.post("/failure")
def report_failure(
    body: FailureReport, token: TokenDep, session: SessionDep, now: NowDep
) -> TrainingRead:
    """Report that a training failed, or was cancelled: its rollout ends."""
    rollout = received_candidate.report_failure(session, token, body.error, now)
    return TrainingRead(phase=rollout.phase)


ReportDep = Annotated[CandidateReport, Query()]


def awaited(token: TokenDep, report: ReportDep, parts: PlatformDep, now: NowDep) -> None:
    """Refuse a token that is void or used, before the body is read."""
    with read_only(parts.sessions) as session:
        received_candidate.check(session, token, report.sha256, now)


async def candidate_bytes(
    request: Request, parts: PlatformDep, _: Annotated[None, Depends(awaited)]
) -> bytes:
    """Read a trainer's body, up to the largest size of an artifact."""
    return await artifact_of(request, parts.settings.body_time)


@router.post("/candidate", openapi_extra=WEIGHTS)
def hand_in_candidate(
    token: TokenDep,
    report: ReportDep,
    content: Annotated[bytes, Depends(candidate_bytes)],
    parts: PlatformDep,
    session: SessionDep,
    now: NowDep,
) -> TrainingRead:
    """Submit the candidate, safetensors in the format of an installed template.

    The token is void afterwards, and the candidate is tested at the gate.
    """
    if sha256_of(content) != report.sha256:
        raise ForeignArtifact("the checksum is another: damaged on its way")
    of_artifact(content)
    # The file comes first, and no transaction is open while it is written.
    with read_only(parts.sessions) as reading:
        rollout = reading.get_one(Rollout, token.rollout_id)
        model = reading.get_one(Model, rollout.model_id).name
    stored = artifacts.store(parts.settings.artifacts, model, content)
    figures = from_attributes(TrainingFigures, report, seconds=report.training_seconds)
    candidate = from_attributes(HandedIn, stored, report, figures=figures)
    return TrainingRead(phase=received_candidate.hand_in(session, token, candidate, now).phase)
