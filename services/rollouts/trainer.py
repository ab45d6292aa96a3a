"""Trainer: claims rollouts, trains challengers, and submits them to the gate."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

import msgspec
from sqlalchemy import CursorResult, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from core import backoff
from core.clock import utcnow
from core.errors import AppError
from core.policy import Policy
from core.schema.contract import Contract
from core.settings import Settings
from db.queries import models
from db.queries.queue.due import is_due
from db.session import read_only, unit_of_work
from db.tables import Model, Rollout, Version
from lake.reading import Snapshot, SnapshotGone
from retrain.drill import NO_DRILL, Drill
from retrain.gate import Gate, GateTests
from retrain.rollout import Event, Phase
from retrain.training.fit import Epoch, limit_threads
from services.models.artifacts import store
from services.platform_faults import failing_jobs
from services.platform_faults.outage import described, is_outage
from services.retention.catch_up import catch_up
from services.rollouts import rollout_transitions, train_challenger
from services.rollouts.train_challenger import TrainingRequest, TrainingResult

log = logging.getLogger(__name__)

JOB = "training"  # as alerts name it
LONGEST_PAUSE = 5.0  # seconds between two attempts to reach a database that is away
MAX_ATTEMPTS = 5  # a trainer that dies five times over one rollout is not unlucky
AT_WORK = (Phase.TRAINING, Phase.GATING)
DAY = timedelta(days=1)


class LeaseLost(Exception):
    """Another trainer has taken over; what we have done is void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to train for one rollout, until the lease ends."""

    rollout_id: UUID
    fence: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retest:
    """A challenger at the gate, which is tested on more days than before."""

    request: TrainingRequest
    sha256: str
    tests: GateTests


class Trainer:
    """One trainer. Any number is safe: a claim is a lease with a fence."""

    def __init__(
        self, settings: Settings, sessions: sessionmaker[Session], drill: Drill = NO_DRILL
    ) -> None:
        self._settings = settings
        self._drill = drill
        self._sessions = sessions
        self._n_outages = 0  # in a row
        limit_threads(settings.trainer_threads)

    def run(self, stop: threading.Event, idle_seconds: float) -> None:
        """Train until stopped; a database that is away ends no trainer."""
        while not stop.is_set():
            try:
                pause = 0.0 if self.once() else idle_seconds
            except Exception as error:
                if not is_outage(error):
                    log.exception("the trainer failed")
                log.warning("no rollout can be taken: %s", described(error))
                pause = LONGEST_PAUSE
            stop.wait(pause)

    def once(self) -> bool:
        """Take one rollout to the gate and through it; False when none is waiting."""
        claim = self._claim()
        if claim is None:
            return False
        try:
            with self._heartbeat(claim):
                request = self._request(claim)
                if isinstance(request, Retest):
                    self._test_again(claim, request)
                else:
                    result = train_challenger.make(
                        request, lambda epoch: self._report_progress(claim, epoch)
                    )
                    self._deliver(claim, request, result)
            self._n_outages = 0
        except LeaseLost:
            log.warning("rollout %s was taken over by another trainer", claim.rollout_id)
        except SnapshotGone as error:  # begins again, on what is left
            log.warning("rollout %s: %s", claim.rollout_id, error)
            self._give_back(claim, RuntimeError(str(error)))
        except Exception as error:
            if is_outage(error):
                log.warning("rollout %s: %s", claim.rollout_id, described(error))
                self._wait(claim, error)
            else:
                log.exception("rollout %s failed", claim.rollout_id)
                self._give_back(claim, error)
        return True

    def _claim(self) -> Claim | None:
        now = utcnow()
        waiting = (
            select(Rollout)
            .join(Model, Model.id == Rollout.model_id)
            .where(
                or_(
                    Rollout.phase.in_((Phase.REQUESTED, Phase.GATING))
                    & (Model.watermark >= Rollout.not_before),
                    Rollout.phase == Phase.TRAINING,
                ),
                is_due(Rollout.lease_until, now, self._longest_lease),
            )
            .order_by(Rollout.created_at)
            .limit(1)
        )
        with read_only(self._sessions) as session:
            if session.scalar(waiting) is None:
                return None
        with unit_of_work(self._sessions) as session:
            # A row that another trainer is taking right now is not waiting any more.
            free = waiting.with_for_update(of=Rollout, skip_locked=True)
            rollout = session.scalar(free)
            if rollout is None:
                return None
            if rollout.attempts >= MAX_ATTEMPTS:
                cause = f"the trainer died {rollout.attempts} times"
                rollout_transitions.move(session, rollout, Event.CRASH, cause, now)
                return None
            rollout.lease_until = now + self._settings.lease
            rollout.fence += 1
            rollout.attempts += 1
            if rollout.phase is Phase.REQUESTED:
                rollout_transitions.move(
                    session, rollout, Event.START, "a trainer took it", now
                )
            return Claim(rollout_id=rollout.id, fence=rollout.fence, attempts=rollout.attempts)

    @property
    def _longest_lease(self) -> timedelta:
        return max(self._settings.lease, backoff.LONGEST_DELAY)

    def _request(self, claim: Claim) -> TrainingRequest | Retest:
        """Write down what to train on, once: whoever begins again takes the same."""
        # What was acknowledged before the training counts, however busy the worker is.
        with read_only(self._sessions) as session:
            model_id = session.get_one(Rollout, claim.rollout_id).model_id
        catch_up(self._sessions, self._settings.lake, model_id, utcnow())
        with unit_of_work(self._sessions) as session:
            rollout = session.get_one(Rollout, claim.rollout_id)
            model = session.get_one(Model, rollout.model_id)
            base = session.get(Version, rollout.base_id) if rollout.base_id else None
            if rollout.phase is Phase.GATING and rollout.challenger_id is not None:
                return self._retest(session, rollout, model, base)
            if "cut" not in rollout.progress:
                pinned = train_challenger.snapshot(self._settings, model.id)
                assert model.watermark is not None
                rollout.progress = {
                    "cut": model.watermark.isoformat(),
                    "snapshot": asdict(pinned),
                    "seed": len(models.versions(session, model.id)) + 1,
                }
            pinned = Snapshot(**rollout.progress["snapshot"])
            if not train_challenger.is_there(self._settings, model.id, pinned):
                pinned = train_challenger.snapshot(self._settings, model.id)
                rollout.progress = {**rollout.progress, "snapshot": asdict(pinned)}
                cause = "rows were erased meanwhile: trains on what is left"
                rollout_transitions.note(session, rollout, "pinned_again", cause, utcnow())
            cut = datetime.fromisoformat(rollout.progress["cut"])
            return self._requested(rollout, model, base, (cut, pinned))

    def _requested(
        self,
        rollout: Rollout,
        model: Model,
        base: Version | None,
        log_at: tuple[datetime, Snapshot],
    ) -> TrainingRequest:
        cut, pinned = log_at
        return TrainingRequest(
            settings=self._settings,
            drill=self._drill,
            model_id=model.id,
            model=model.name,
            # The next version takes what the last one took.
            contract=Contract.from_json(base.contract if base else model.contract),
            policy=Policy.from_json(model.policy),
            onset=rollout.onset,
            cut=cut,
            snapshot=pinned,
            seed=rollout.progress["seed"],
            base=base.name if base else None,
            base_sha256=base.sha256 if base else None,
            base_manifest=dict(base.manifest) if base else {},
            base_objective=base.objective if base else None,
            base_reference_start=base.reference_start if base else None,
        )

    def _retest(
        self, session: Session, rollout: Rollout, model: Model, base: Version | None
    ) -> Retest:
        """Write down what the gate is tested on now."""
        challenger = session.get_one(Version, rollout.challenger_id)
        assert model.watermark is not None
        assert challenger.sha256 is not None
        log_at = model.watermark, train_challenger.snapshot(self._settings, model.id)
        request = self._requested(rollout, model, base, log_at)
        tests = msgspec.convert(rollout.progress["tests"], GateTests)
        request = replace(request, base_manifest=dict(challenger.manifest))
        return Retest(request=request, sha256=challenger.sha256, tests=tests)

    def _test_again(self, claim: Claim, due: Retest) -> None:
        """Test again, and store what the gate found, in one transaction."""
        compared = train_challenger.retest(due.request, due.sha256, due.tests)
        with unit_of_work(self._sessions) as session:
            rollout = self._held(session, claim)
            rollout.attempts, rollout.lease_until = 0, None
            if compared is None:  # labels are missing: it is asked again a day later
                rollout.not_before = due.request.cut + DAY
                return
            rollout.gate = compared.to_json()
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
        event, cause = train_challenger.through_the_gate(
            compared, is_first=request.base is None, is_bypassed=self._drill.bypasses_gate
        )
        if event is Event.GATE_INCONCLUSIVE:
            rollout.progress = {**rollout.progress, "tests": msgspec.to_builtins(tests)}
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

    def _deliver(self, claim: Claim, request: TrainingRequest, result: TrainingResult) -> None:
        """Store the version and the result of the gate, in one transaction."""
        stored = store(self._settings.artifacts, request.model, result.artifact)
        now = utcnow()
        with unit_of_work(self._sessions) as session:
            rollout = self._held(session, claim)
            version = Version(
                model_id=request.model_id,
                name=_next_name(session, request.model_id),
                contract=request.contract.to_json(),
                contract_digest=request.contract.digest,
                sha256=stored.sha256,
                n_bytes=stored.n_bytes,
                manifest={**result.manifest, "sha256": stored.sha256},
                reference_start=result.reference.start,
                reference_end=result.reference.end,
                objective=result.objective,
                created_at=now,
            )
            session.add(version)
            session.flush()
            rollout.challenger_id = version.id
            rollout.gate = result.gate.to_json()
            seconds = result.manifest["training"]["seconds"]
            text = (
                f"{version.name} trained on {result.manifest['training']['n_windows']} windows"
            )
            rollout_transitions.move(
                session, rollout, Event.TRAINED, f"{text} in {seconds:.0f} s", now
            )
            self._leave_gate(session, rollout, request, (result.gate, result.tests))
            rollout.attempts, rollout.lease_until = 0, None
            model = session.get_one(Model, request.model_id)
            failing_jobs.resolve_for(session, JOB, model, now)

    def _held(self, session: Session, claim: Claim) -> Rollout:
        rollout = session.get_one(Rollout, claim.rollout_id, with_for_update=True)
        if rollout.fence != claim.fence or rollout.phase not in AT_WORK:
            raise LeaseLost
        return rollout

    def _report_progress(self, claim: Claim, epoch: Epoch) -> None:
        with unit_of_work(self._sessions) as session:
            rollout = self._held(session, claim)
            rollout.progress = {**rollout.progress, "epoch": asdict(epoch)}

    def _give_back(self, claim: Claim, error: Exception) -> None:
        """End the rollout for a reason that training again would meet again; else try again."""
        now = utcnow()
        with unit_of_work(self._sessions) as session:
            rollout = session.get_one(Rollout, claim.rollout_id, with_for_update=True)
            if rollout.fence != claim.fence or rollout.phase not in AT_WORK:
                return
            cause = described(error)
            if isinstance(error, AppError) or claim.attempts >= MAX_ATTEMPTS:
                rollout_transitions.move(session, rollout, Event.CRASH, cause, now)
            else:
                rollout_transitions.note(session, rollout, "retried", cause, now)
                rollout.lease_until = now

    def _wait(self, claim: Claim, error: Exception) -> None:
        """Try again when an outage may be over. It counts as no attempt."""
        now = utcnow()
        self._n_outages += 1
        with unit_of_work(self._sessions) as session:
            rollout = session.get_one(Rollout, claim.rollout_id, with_for_update=True)
            if rollout.fence != claim.fence or rollout.phase not in AT_WORK:
                return
            rollout.attempts -= 1
            rollout.lease_until = now + backoff.delay(self._n_outages)
            if self._n_outages >= failing_jobs.ATTEMPTS:
                model = session.get_one(Model, rollout.model_id)
                failing_jobs.fire_for(session, JOB, model, described(error), now)

    @contextmanager
    def _heartbeat(self, claim: Claim) -> Iterator[None]:
        """Extend the lease while the work goes on."""
        done = threading.Event()
        beat_seconds = self._settings.lease.total_seconds() / 3

        def beat() -> None:
            while not done.wait(beat_seconds):
                try:
                    if not self._extend(claim):
                        return
                except SQLAlchemyError as error:  # the next beat may reach the database again
                    log.warning("rollout %s: %s", claim.rollout_id, described(error))

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        began = time.monotonic()
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            log.info("rollout %s: %.1f s", claim.rollout_id, time.monotonic() - began)

    def _extend(self, claim: Claim) -> bool:
        """Keep the lease; False when it was lost, or given up because the work is done."""
        with unit_of_work(self._sessions) as session:
            kept = session.execute(
                update(Rollout)
                .where(
                    Rollout.id == claim.rollout_id,
                    Rollout.fence == claim.fence,
                    Rollout.lease_until.is_not(None),
                )
                .values(lease_until=utcnow() + self._settings.lease)
            )
        return cast(CursorResult[None], kept).rowcount == 1


def _next_name(session: Session, model_id: UUID) -> str:
    """Return v1, v2, …: the next that is free."""
    taken = {version.name for version in models.versions(session, model_id)}
    number = len(taken) + 1
    while f"v{number}" in taken:
        number += 1
    return f"v{number}"
