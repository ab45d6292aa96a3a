"""Trainer: trains challengers for rollouts, and submits them to the gate."""

import logging
import shutil
import time
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.durations import DAY
from core.settings import Settings
from core.stored import from_attributes
from db.queries import models
from db.queries.queue import runs
from db.queries.queue.runs import Claim
from db.session import read_only, unit_of_work
from db.tables import Model, Rollout, Version
from lake.reading import Snapshot, SnapshotGone
from retrain.drill import NO_DRILL, Drill
from retrain.gate import Gate, GateTests
from retrain.manifest import BaseManifest, TrainingFigures
from retrain.rollout import Event, Phase
from retrain.template import Epoch
from services.models.artifacts import store
from services.platform_faults import failing_jobs
from services.platform_faults.failing_jobs import Failure
from services.retention.catch_up import catch_up
from services.rollouts import (
    gate_test,
    rollout_transitions,
    train_challenger,
    training_history,
    training_runs,
    training_state,
)
from services.rollouts.gate_test import Tested
from services.rollouts.training_history import Base, TrainingRequest
from services.rollouts.training_state import HandedIn

log = logging.getLogger(__name__)

AT_WORK = (Phase.TRAINING, Phase.GATING)


class Superseded(Exception):
    """Another trainer has taken over, or the rollout was ended: what was done is void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retest:
    """A challenger at the gate, which is tested on more days than before."""

    request: TrainingRequest
    sha256: str
    tests: GateTests


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A candidate that is to be trained here, or was handed in by a trainer elsewhere.

    `pinned` is what the candidate learns from, or has learned from.
    """

    request: TrainingRequest
    candidate: HandedIn | None
    pinned: tuple[datetime, Snapshot]


def record_failure(session: Session, claim: Claim, failure: Failure, now: datetime) -> None:
    """End a rollout whose run was given up; note that it is tried again."""
    if failure.is_outage:
        failing_jobs.record(session, claim, failure, now)
        return
    rollout = session.get_one(Rollout, UUID(claim.subject), with_for_update=True)
    if rollout.phase not in (Phase.REQUESTED, *AT_WORK):
        return
    if failure.is_last:
        rollout_transitions.move(session, rollout, Event.CRASH, failure.cause, now)
    else:
        rollout_transitions.note(session, rollout, "retried", failure.cause, now)


class Trainer:
    """Takes rollouts to the gate and through it; each claim is a run of the queue."""

    def __init__(
        self, settings: Settings, sessions: sessionmaker[Session], drill: Drill = NO_DRILL
    ) -> None:
        self._settings = settings
        self._drill = drill
        self._sessions = sessions

    def train(self, claim: Claim) -> None:
        """Train and test a challenger, or test it again; nothing if that is no longer due."""
        began = time.monotonic()
        try:
            due = self._due(claim)
            if isinstance(due, Retest):
                self._test_again(claim, due)
            else:
                self._deliver(claim, due.request, self._tested(claim, due))
        except Superseded:
            log.warning("rollout %s was ended or taken over", claim.subject)
        except SnapshotGone as error:  # the next attempt trains on what is left
            raise RuntimeError(str(error)) from error
        finally:
            self._remove_checkpoints()
        log.info("rollout %s: %.1f s", claim.subject, time.monotonic() - began)

    def _tested(self, claim: Claim, due: Training) -> Tested:
        """Train the candidate, unless it was handed in, and test it."""
        history = training_history.read_history(due.request)
        candidate = (
            train_challenger.make(
                due.request, history, lambda epoch: self._report_progress(claim, epoch)
            )
            if due.candidate is None
            else gate_test.received(due.request, history, due.candidate, due.pinned)
        )
        return gate_test.test(due.request, history, candidate)

    def _remove_checkpoints(self) -> None:
        """Remove the checkpoints of rollouts that train no more."""
        folder = train_challenger.checkpoints_of(self._settings.artifacts)
        found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if found:
            with read_only(self._sessions) as session:
                training = select(Rollout.id).where(Rollout.phase == Phase.TRAINING)
                found -= {str(rollout_id) for rollout_id in session.scalars(training)}
        for name in found:
            shutil.rmtree(folder / name, ignore_errors=True)

    def _due(self, claim: Claim) -> Training | Retest:
        """Return what is to be done now.

        Raises
        ------
        Superseded
            If nothing is.
        """
        with read_only(self._sessions) as session:
            due = {rollout.id: rollout.model_id for rollout in training_runs.to_train(session)}
        model_id = due.get(UUID(claim.subject))
        if model_id is None:
            raise Superseded
        # What was acknowledged before counts, however busy the worker is.
        catch_up(self._sessions, self._settings.lake, model_id, utcnow())
        with unit_of_work(self._sessions) as session:
            rollout = self._held(session, claim)
            model = session.get_one(Model, rollout.model_id)
            base = session.get(Version, rollout.base_id) if rollout.base_id else None
            if rollout.phase is Phase.GATING and rollout.challenger_id is not None:
                return self._retest(session, rollout, model, base)
            candidate = training_state.of(rollout).candidate
            pinned = self._pinned(session, rollout)
            # A received candidate is tested with the labels that have come since.
            log_at = self._now(session, rollout) if candidate else pinned
            request = self._requested(rollout, model, base, log_at)
            return Training(request=request, candidate=candidate, pinned=pinned)

    def _pinned(self, session: Session, rollout: Rollout) -> tuple[datetime, Snapshot]:
        """Return newest event and state of the log to learn from: whoever begins again, too."""
        state = training_state.of(rollout)
        assert state.cut is not None
        assert state.snapshot is not None
        if state.candidate or training_history.is_there(
            self._settings, rollout.model_id, state.snapshot
        ):
            return state.cut, state.snapshot
        pinned = training_history.snapshot(self._settings, rollout.model_id)
        training_state.change(rollout, snapshot=pinned)
        cause = "rows were erased meanwhile: trains on what is left"
        rollout_transitions.note(session, rollout, "pinned_again", cause, utcnow())
        return state.cut, pinned

    def _now(self, session: Session, rollout: Rollout) -> tuple[datetime, Snapshot]:
        watermark = session.get_one(Model, rollout.model_id).watermark
        assert watermark is not None
        return watermark, training_history.snapshot(self._settings, rollout.model_id)

    def _requested(
        self,
        rollout: Rollout,
        model: Model,
        base: Version | None,
        log_at: tuple[datetime, Snapshot],
    ) -> TrainingRequest:
        cut, pinned = log_at
        state = training_state.of(rollout)
        assert state.seed is not None
        manifest = BaseManifest.from_json(base.manifest) if base else BaseManifest()
        return from_attributes(
            TrainingRequest,
            rollout,
            settings=self._settings,
            drill=self._drill,
            rollout_id=rollout.id,
            model=model.name,
            # The next version takes what the last one took.
            contract=(base.contract if base else model.contract),
            policy=model.policy,
            params=rollout.template_params,
            cut=cut,
            snapshot=pinned,
            seed=state.seed,
            base=from_attributes(Base, base) if base else None,
            scaler=manifest.scaler,
        )

    def _retest(
        self, session: Session, rollout: Rollout, model: Model, base: Version | None
    ) -> Retest:
        """Write down what the gate is tested on now."""
        challenger = session.get_one(Version, rollout.challenger_id)
        tests = training_state.of(rollout).tests
        assert challenger.sha256 is not None
        assert tests is not None
        request = self._requested(rollout, model, base, self._now(session, rollout))
        scaler = BaseManifest.from_json(challenger.manifest).scaler
        request = replace(request, scaler=scaler)
        return Retest(request=request, sha256=challenger.sha256, tests=tests)

    def _test_again(self, claim: Claim, due: Retest) -> None:
        """Test again, and store what the gate found, in one transaction."""
        compared = gate_test.retest(due.request, due.sha256, due.tests)
        with unit_of_work(self._sessions) as session:
            rollout = self._held(session, claim)
            if compared is None:  # labels are missing: it is asked again a day later
                rollout.not_before = due.request.cut + DAY
                return
            rollout.gate = compared
            tests = replace(due.tests, done=due.tests.done + 1)
            self._leave_gate(session, rollout, due.request, (compared, tests))

    def _leave_gate(
        self,
        session: Session,
        rollout: Rollout,
        request: TrainingRequest,
        found: tuple[Gate, GateTests],
    ) -> None:
        """Do what follows from the gate; without a decision it is tested again later."""
        compared, tests = found
        event, cause = gate_test.through_the_gate(
            compared, is_first=request.base is None, is_bypassed=self._drill.bypasses_gate
        )
        if event is Event.GATE_INCONCLUSIVE:
            training_state.change(rollout, tests=tests)
            if tests.next_size is None:  # the deadline ends it
                rollout.not_before = request.cut + request.policy.max_gate
            else:
                reach = (
                    request.contract.horizon * request.contract.step
                    + request.policy.label_delay
                )
                due = tests.start + tests.next_size * DAY + reach
                rollout.not_before = max(due, request.cut + request.contract.step)
                cause += f"; tested again with {tests.next_size} days of labels"
        rollout_transitions.move(session, rollout, event, cause, utcnow())

    def _deliver(self, claim: Claim, request: TrainingRequest, result: Tested) -> None:
        """Store the version and the result of the gate, in one transaction."""
        stored = store(self._settings.artifacts, request.model, result.artifact)
        now = utcnow()
        with unit_of_work(self._sessions) as session:
            rollout = self._held(session, claim)
            version = Version(
                model_id=request.model_id,
                name=_next_name(session, request.model_id),
                contract=request.contract,
                contract_digest=request.contract.digest,
                sha256=stored.sha256,
                n_bytes=stored.n_bytes,
                manifest=result.manifest.to_json(),
                reference=(result.reference,),
                objective=result.objective,
                created_at=now,
            )
            session.add(version)
            session.flush()
            rollout.challenger_id = version.id
            rollout.gate = result.gate
            cause = _described(version.name, result.manifest.training)
            rollout_transitions.move(session, rollout, Event.TRAINED, cause, now)
            self._leave_gate(session, rollout, request, (result.gate, result.tests))

    def _held(self, session: Session, claim: Claim) -> Rollout:
        """Return the rollout, locked, while the claim on it is ours.

        Raises
        ------
        Superseded
            If it is not, or the rollout was ended.
        """
        is_ours = runs.extend(session, claim, utcnow() + self._settings.lease)
        rollout = session.get_one(Rollout, UUID(claim.subject), with_for_update=True)
        if not is_ours or rollout.phase not in AT_WORK:
            raise Superseded
        return rollout

    def _report_progress(self, claim: Claim, epoch: Epoch) -> None:
        with unit_of_work(self._sessions) as session:
            rollout = self._held(session, claim)
            training_state.change(rollout, epoch=epoch)


def _described(version: str, figures: TrainingFigures) -> str:
    """Return how a version was trained, as far as its trainer reported it."""
    text = f"{version} trained"
    if figures.n_windows is not None:
        text += f" on {figures.n_windows} windows"
    return text if figures.seconds is None else f"{text} in {figures.seconds:.0f} s"


def _next_name(session: Session, model_id: UUID) -> str:
    """Return v1, v2, …: the next that is free."""
    taken = {version.name for version in models.versions(session, model_id)}
    number = len(taken) + 1
    while f"v{number}" in taken:
        number += 1
    return f"v{number}"
