"""Alerts on jobs of the platform that fail repeatedly."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from alerts.platform import PlatformFault
from db.queries.queue.runs import Claim
from db.tables import Model, Rollout, SourceRow
from services.platform_faults import platform_alerts

# Two minutes of attempts, the last a minute apart: a short outage notifies nobody.
ATTEMPTS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed attempt of a run.

    Attributes
    ----------
    is_last
        The run was given up.
    """

    cause: str
    is_outage: bool
    is_last: bool


def record(session: Session, claim: Claim, failure: Failure, now: datetime) -> None:
    """Open the alert on a job that fails repeatedly; an open one takes the newest cause."""
    if failure.is_last or claim.attempts >= ATTEMPTS:
        model = _model(session, claim)
        platform_alerts.fire(
            session,
            PlatformFault.JOB_FAILING,
            _subject(claim, model),
            f"job {claim.job} fails: {failure.cause}",
            now,
            None if model is None else model.id,
        )


def resolve(session: Session, claim: Claim, now: datetime) -> None:
    """Close the alert on a job that has succeeded."""
    subject = _subject(claim, _model(session, claim))
    platform_alerts.resolve(session, PlatformFault.JOB_FAILING, subject, now)


def _model(session: Session, claim: Claim) -> Model | None:
    """Return the model that a run is about; None for a run about all, or about a finding."""
    try:
        subject = UUID(claim.subject)
    except ValueError:  # no id at all
        return None
    part = session.get(Rollout, subject) or session.get(SourceRow, subject)
    return session.get(Model, subject if part is None else part.model_id)


def _subject(claim: Claim, model: Model | None) -> str:
    return claim.job if model is None else f"{claim.job} {model.name}"
