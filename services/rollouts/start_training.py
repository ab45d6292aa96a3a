"""Start and cancellation of a training by the trainer that the policy names."""

from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.errors import Unprocessable
from core.settings import Settings
from core.stored import from_attributes
from db.queries import models
from db.queries.queue import runs
from db.queries.queue.backoff import LONGEST
from db.queries.queue.runs import Claim
from db.session import read_only, unit_of_work
from db.tables import Model, Rollout, RolloutEvent, Version
from notify import trainer
from notify.sender import Sender
from notify.trainer import Platform, Refused, Retry, Start, Started, StartRequest
from retrain.rollout import Event, Phase
from retrain.template import TEMPLATES
from services.access.api_keys import digest_of, new_training_token
from services.models import trainer_config
from services.models.trainer_config import UsedTrainer
from services.retention.catch_up import catch_up
from services.rollouts import (
    rollout_transitions,
    training_history,
    training_runs,
    training_state,
)

RETRIED = "start_retried"


class Starter:
    """Hands requested trainings over to their trainers; each claim is a run of the queue."""

    def __init__(
        self, settings: Settings, sessions: sessionmaker[Session], sender: Sender
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._platform = Platform(sender=sender, enqueue=self._enqueue)

    def start(self, claim: Claim) -> None:
        """Start a training; nothing if that is no longer due."""
        rollout_id = UUID(claim.subject)
        with read_only(self._sessions) as session:
            rollout = session.get_one(Rollout, rollout_id)
            if rollout.phase is not Phase.REQUESTED:
                return
            model_id = rollout.model_id
        # What was acknowledged before the training counts, however busy the worker is.
        catch_up(self._sessions, self._settings.lake, model_id, utcnow())
        self._pin(rollout_id, model_id)
        with unit_of_work(self._sessions) as session:
            rollout = session.get_one(Rollout, rollout_id, with_for_update=True)
            if rollout.phase is not Phase.REQUESTED:
                return
            made = self._request(session, rollout, utcnow())
        outcome: Start
        if isinstance(made, Refused):
            outcome = made
        else:
            used, request = made
            outcome = trainer.start(used.kind, used.config, request, self._platform)
        with unit_of_work(self._sessions) as session:
            is_ours = runs.extend(session, claim, utcnow() + self._settings.lease)
            rollout = session.get_one(Rollout, rollout_id, with_for_update=True)
            if is_ours and rollout.phase is Phase.REQUESTED:
                _save(session, rollout, outcome, utcnow())
                return
        # It was ended, or started by another worker, meanwhile.
        if isinstance(outcome, Started):
            self._cancel(rollout.trainer, outcome.reference)

    def cancel(self, claim: Claim) -> None:
        """Cancel the training of a rollout that was ended."""
        with read_only(self._sessions) as session:
            rollout = session.get_one(Rollout, UUID(claim.subject))
            if rollout.reference is None:
                return
            name, reference = rollout.trainer, rollout.reference
        self._cancel(name, reference)

    def _cancel(self, name: str, reference: str) -> None:
        with read_only(self._sessions) as session:
            used = trainer_config.resolve(session, name)
        trainer.cancel(used.kind, used.config, reference, self._platform)

    def _enqueue(self, rollout_id: UUID) -> str:
        with unit_of_work(self._sessions) as session:
            rollout = session.get_one(Rollout, rollout_id, with_for_update=True)
            return training_runs.enqueue(session, rollout, utcnow())

    def _pin(self, rollout_id: UUID, model_id: UUID) -> None:
        """Write down what to train on, once: whoever begins again takes the same."""
        with read_only(self._sessions) as session:
            if training_state.of(session.get_one(Rollout, rollout_id)).cut is not None:
                return
            cut = session.get_one(Model, model_id).watermark
        pinned = training_history.snapshot(self._settings, model_id)
        with unit_of_work(self._sessions) as session:
            rollout = session.get_one(Rollout, rollout_id, with_for_update=True)
            seed = len(models.versions(session, model_id)) + 1
            training_state.change(rollout, cut=cut, snapshot=pinned, seed=seed)

    def _request(
        self, session: Session, rollout: Rollout, now: datetime
    ) -> tuple[UsedTrainer, StartRequest] | Refused:
        """Make a request with a new token; the one of an earlier start is void."""
        model = session.get_one(Model, rollout.model_id)
        policy = model.policy
        base = session.get(Version, rollout.base_id) if rollout.base_id else None
        contract = base.contract if base else model.contract
        try:
            used = trainer_config.resolve(session, rollout.trainer)
            kind = TEMPLATES.find(rollout.template)
            reasons = kind.refuses(kind.parse(rollout.template_params), contract)
        except Unprocessable as error:
            return Refused(reason=str(error))
        if reasons:
            return Refused(reason="; ".join(reasons))
        token = new_training_token()
        rollout.token_digest = digest_of(token)
        state = training_state.of(rollout)
        assert state.cut is not None
        assert state.snapshot is not None
        assert state.seed is not None
        request = from_attributes(
            StartRequest,
            rollout,
            state,
            state.snapshot,
            rollout_id=rollout.id,
            url=f"{self._settings.public_url.rstrip('/')}/v1/rollouts/{rollout.id}/training",
            token=token,
            model=model.name,
            contract=contract,
            params=rollout.template_params,
            base=base.name if base else None,
            learn_from=state.cut - policy.training_history,
            learn_until=training_history.learn_until(policy, state.cut),
            deadline=now + policy.max_training,
        )
        return used, request


def _save(session: Session, rollout: Rollout, outcome: Start, now: datetime) -> None:
    match outcome:
        case Started(reference=reference):
            rollout.reference = reference
            cause = f"{rollout.trainer}: training started, reference {reference}"
            rollout_transitions.move(session, rollout, Event.START, cause, now)
        case Retry(error=error, after=after):
            pause = min(max(after or LONGEST, timedelta(seconds=1)), LONGEST)
            cause = f"{rollout.trainer}: {error}"
            if cause != _last_cause(session, rollout):
                rollout_transitions.note(session, rollout, RETRIED, cause, now)
            # A slot of its own, and not before the pause is over.
            runs.ask(session, training_runs.START_JOB, now, now + pause, str(rollout.id))
        case Refused(reason=reason):
            cause = f"{rollout.trainer} refused: {reason}"
            rollout_transitions.move(session, rollout, Event.CRASH, cause, now)
        case _:
            assert_never(outcome)


def _last_cause(session: Session, rollout: Rollout) -> str | None:
    return session.scalar(
        select(RolloutEvent.cause)
        .where(RolloutEvent.rollout_id == rollout.id, RolloutEvent.event == RETRIED)
        .order_by(RolloutEvent.recorded_at.desc())
        .limit(1)
    )
