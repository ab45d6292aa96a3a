"""What a trainer reports under the token of its training: progress, failure, the candidate."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from core.errors import Conflict, Unauthorized
from db.tables import Rollout
from retrain.rollout import Event, Phase
from retrain.template import Epoch
from services.rollouts import deadlines, rollout_transitions, training_runs, training_state
from services.rollouts.training_state import HandedIn

AWAITED = (Phase.REQUESTED, Phase.TRAINING)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingToken:
    """A token that was shown for a rollout."""

    rollout_id: UUID
    digest: bytes


def held(session: Session, token: TrainingToken, now: datetime) -> Rollout:
    """Return the rollout of a token, locked, while its trainer may report.

    Raises
    ------
    Unauthorized
        If the token is that of an earlier start, the deadline has passed, or the rollout is
        over.
    Conflict
        If a candidate was handed in: that uses the token up.
    """
    rollout = session.get(Rollout, token.rollout_id, with_for_update=True)
    if rollout is None or rollout.token_digest != token.digest or rollout.phase not in AWAITED:
        raise Unauthorized("the training of this token is over, or was started again")
    until = deadlines.of_rollout(session, rollout)
    if until is not None and until.has_passed(None, now):
        raise Unauthorized("the deadline of this training has passed")
    if training_state.of(rollout).candidate is not None:
        raise Conflict("the token is void: a candidate was received")
    return rollout


def report_progress(
    session: Session, token: TrainingToken, epoch: Epoch, now: datetime
) -> Rollout:
    """Store how far a training is."""
    rollout = held(session, token, now)
    training_state.change(rollout, epoch=epoch)
    return rollout


def report_failure(
    session: Session, token: TrainingToken, error: str, now: datetime
) -> Rollout:
    """End a rollout whose training failed, or was cancelled by its trainer."""
    rollout = held(session, token, now)
    cause = f"{rollout.trainer}: {error}"
    rollout_transitions.move(session, rollout, Event.CRASH, cause, now)
    return rollout


def check(session: Session, token: TrainingToken, sha256: str, now: datetime) -> None:
    """Refuse a candidate that is not awaited; the one that was handed in may come again.

    Raises
    ------
    Unauthorized, Conflict
        As `held` does.
    """
    rollout = session.get(Rollout, token.rollout_id)
    if rollout is None or not _was_handed_in(rollout, token, sha256):
        held(session, token, now)


def _was_handed_in(rollout: Rollout, token: TrainingToken, sha256: str) -> bool:
    """Return whether it was: the response may have been lost."""
    known = training_state.of(rollout).candidate
    is_same = known is not None and known.sha256 == sha256
    return is_same and rollout.token_digest == token.digest


def hand_in(
    session: Session, token: TrainingToken, candidate: HandedIn, now: datetime
) -> Rollout:
    """Take a candidate, whose artifact is stored, and let it be tested at the gate."""
    rollout = session.get_one(Rollout, token.rollout_id, with_for_update=True)
    if _was_handed_in(rollout, token, candidate.sha256):
        return rollout
    held(session, token, now)
    training_state.change(rollout, candidate=candidate)
    cause = f"{rollout.trainer}: candidate {candidate.sha256[:12]} received"
    rollout_transitions.note(session, rollout, "candidate", cause, now)
    training_runs.enqueue(session, rollout, now)
    return rollout
