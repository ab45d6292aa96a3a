"""Alerts on jobs of the platform that fail repeatedly."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from alerts.platform import PlatformFault
from db.queries.queue.runs import Claim
from db.tables import Model
from services.platform_faults import platform_alerts

# Two minutes of attempts, the last a minute apart: a short outage notifies nobody.
ATTEMPTS = 7


def fire(session: Session, claim: Claim, cause: str, now: datetime) -> None:
    """Open the alert on a job that fails; an open one takes the newest cause."""
    fire_for(session, claim.job, _model(session, claim), cause, now)


def resolve(session: Session, claim: Claim, now: datetime) -> None:
    """Close the alert on a job that has succeeded."""
    resolve_for(session, claim.job, _model(session, claim), now)


def fire_for(
    session: Session, job: str, model: Model | None, cause: str, now: datetime
) -> None:
    """Open the alert on work for a model, or for all of them."""
    platform_alerts.fire(
        session,
        PlatformFault.JOB_FAILING,
        _subject(job, model),
        f"job {job} fails: {cause}",
        now,
        None if model is None else model.id,
    )


def resolve_for(session: Session, job: str, model: Model | None, now: datetime) -> None:
    """Close the alert on work that has succeeded."""
    platform_alerts.resolve(session, PlatformFault.JOB_FAILING, _subject(job, model), now)


def _model(session: Session, claim: Claim) -> Model | None:
    """Return the model that a run is about; None for a run about all, or about a finding."""
    try:
        return session.get(Model, UUID(claim.subject))
    except ValueError:  # no id at all
        return None


def _subject(job: str, model: Model | None) -> str:
    return job if model is None else f"{job} {model.name}"
