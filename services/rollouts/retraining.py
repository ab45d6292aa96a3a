"""Requests of retraining, by a person or by an alert."""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Exists, exists, or_, select
from sqlalchemy.orm import Session

from alerts.state import Phase
from core.errors import RetrainRefused, Unprocessable
from core.policy import Policy
from core.schema.rows import Kind
from db.queries import models, summaries
from db.queries.queue import deliveries
from db.tables import (
    Alert,
    AuditEvent,
    Inbox,
    Model,
    Monitor,
    Rollout,
    RolloutEvent,
    Stream,
    Version,
)
from monitors import registry
from monitors.summaries.streams import INPUT
from retrain.rollout import Phase as RolloutPhase
from retrain.trainable import Base, Material, can_retrain
from retrain.trigger import Refuse, Situation, decide
from services.access import api_keys
from services.alerting import inhibition
from services.alerting.onset import onset
from services.models import trainer_config
from services.rollouts import rollout_transitions

REFUSED = "retrain refused"
CANNOT = "nothing here can retrain this model: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Reason of a retraining, with the alert and the onset if there are any."""

    reason: str
    flip_id: UUID | None = None
    onset: datetime | None = None


def request(
    session: Session,
    model_name: str,
    cause: Cause,
    *,
    idempotency_key: str,
    now: datetime,
) -> Rollout:
    """Open a rollout, or return the one that this key opened before.

    Raises
    ------
    NotFound
        If there is no such model.
    RetrainRefused
        If no trainer could make a version of this model, with every reason, or
        if the policy does not allow it now.
    """
    # load
    model = models.find(session, model_name)
    # One at a time: who asks at the same moment sees what the other has opened.
    session.refresh(model, with_for_update={"key_share": True})
    asked_before = session.scalar(
        select(Rollout).where(
            Rollout.model_id == model.id, Rollout.idempotency_key == idempotency_key
        )
    )
    if asked_before is not None:
        return asked_before
    if reasons := why_not(session, model):
        raise RetrainRefused(f"{CANNOT}{'; '.join(reasons)}")
    assert model.watermark is not None
    champion = models.champion(session, model.id)
    situation = _situation(session, model, cause)

    # decide
    policy = model.policy
    decision = decide(policy, situation)
    if isinstance(decision, Refuse):
        raise RetrainRefused(decision.reason)

    # save
    rollout = Rollout(
        model_id=model.id,
        idempotency_key=idempotency_key,
        reason=cause.reason,
        flip_id=cause.flip_id,
        phase=RolloutPhase.REQUESTED,
        base_id=champion[1].id if champion else None,
        champion_rev=champion[0].rev if champion else 0,
        template=policy.template,
        template_params=dict(policy.template_params),
        trainer=policy.trainer,
        onset=cause.onset,
        requested_at=model.watermark,
        not_before=decision.not_before,
        created_at=now,
    )
    session.add(rollout)
    session.flush()
    rollout_transitions.note(session, rollout, "requested", cause.reason, now)
    return rollout


def why_not(session: Session, model: Model) -> tuple[str, ...]:
    """Return every reason why a retraining of a model must fail; empty when it can work."""
    champion = models.champion(session, model.id)
    base = champion[1] if champion else None
    labels = (Stream.model_id == model.id) & (Stream.kind == Kind.LABELS)
    waiting = (Inbox.model_id == model.id) & (Inbox.kind == Kind.LABELS)
    material = Material(
        contract=(base.contract if base else model.contract),
        base=None if base is None else _base(base),
        watermark=model.watermark,
        first_event=summaries.first(session, INPUT, model.id),
        has_labels=bool(
            session.scalar(select(or_(exists().where(labels), exists().where(waiting))))
        ),
    )
    policy = model.policy
    return (*can_retrain(material, policy), *_of_trainer(session, policy))


def _of_trainer(session: Session, policy: Policy) -> list[str]:
    try:
        trainer_config.resolve(session, policy.trainer)
    except Unprocessable as error:
        return [str(error)]
    return []


def _base(version: Version) -> Base:
    return Base(
        name=version.name,
        has_weights=version.sha256 is not None,
        artifact_format=version.manifest.get("format"),
    )


def is_wanted() -> Exists:
    """Return the condition that an alert of a model fires that retraining can heal."""
    return (
        exists()
        .where(Alert.model_id == Model.id, Alert.phase == Phase.FIRING)
        .where(Monitor.id == Alert.monitor_id, Monitor.kind.in_(_may_retrain()))
        .correlate(Model)
    )


def _may_retrain() -> list[str]:
    return registry.where(lambda kind: kind.may_retrain)


def consider(session: Session, model: Model, day_end: datetime, now: datetime) -> None:
    """Ask for retraining when an alert that retraining can heal is firing.

    The level counts, not the edge: what was refused today (broken input,
    cool-down) is asked for again tomorrow if the model is still wrong then.
    """
    for alert, monitor in session.execute(
        select(Alert, Monitor)
        .join(Monitor, Monitor.id == Alert.monitor_id)
        .where(Alert.model_id == model.id, Alert.phase == Phase.FIRING)
        .where(Monitor.kind.in_(_may_retrain()))
    ):
        fired = deliveries.last_fired(session, alert.id)
        assert fired is not None, "a firing alert has fired"
        try:
            request(
                session,
                model.name,
                Cause(
                    reason=f"{monitor.name}: {fired.cause}",
                    flip_id=fired.id,
                    onset=onset(session, alert),
                ),
                idempotency_key=f"alert {alert.id} {day_end:%Y-%m-%d}",
                now=now,
            )
        except RetrainRefused as refusal:
            _note_refusal(session, model, fired.id, str(refusal), now)


def _situation(session: Session, model: Model, cause: Cause) -> Situation:
    assert model.watermark is not None
    under_way = models.open_rollout(session, model.id)
    last = session.scalar(
        select(RolloutEvent.at)
        .join(Rollout, Rollout.id == RolloutEvent.rollout_id)
        .where(Rollout.model_id == model.id, Rollout.finished_at.is_not(None))
        .order_by(RolloutEvent.at.desc())
        .limit(1)
    )
    return Situation(
        at=model.watermark,
        open_rollout=under_way.phase.value if under_way else None,
        last_finished=last,
        input_fault=inhibition.of_model(session, model.id),
        onset=cause.onset,
        is_automatic=cause.flip_id is not None,
    )


def _note_refusal(
    session: Session, model: Model, flip_id: UUID, refusal: str, now: datetime
) -> None:
    """Write down why nothing happened: once per flip and reason, not once per day."""
    noted = session.scalars(
        select(AuditEvent.detail).where(
            AuditEvent.action == REFUSED, AuditEvent.subject == model.name
        )
    )
    why = (str(flip_id), _kind(refusal))
    if why not in {(detail["flip"], _kind(detail["reason"])) for detail in noted}:
        detail = {"flip": str(flip_id), "reason": refusal}
        api_keys.audit(session, "seqwatch", REFUSED, model.name, detail, now)


def _kind(refusal: str) -> str:
    """Return the part of a refusal that stays the same from day to day."""
    return re.split(r":| until | \(", refusal, maxsplit=1)[0]
