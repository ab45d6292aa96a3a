"""Delete monitors, versions and models.

Rows go in one transaction. Files cannot, so that transaction asks for a job that removes
them: at once, and again when whoever wrote at that moment has come to an end. Each run
removes what no row names any more; after a crash it is begun anew.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import AlertState, Reason, retire
from core.errors import Conflict, NotFound
from core.lake_root import LakeRoot
from db import payload_files
from db.base import Base
from db.queries import models, summaries
from db.queries.queue import runs
from db.session import read_only
from db.tables import (
    Alert,
    AlertGroup,
    ApiKey,
    BacktestRow,
    Finding,
    FlipRow,
    GroupMember,
    Incident,
    Model,
    Monitor,
    NotifiedIncident,
    Rollout,
    RolloutEvent,
    Run,
    SessionScore,
    SourceRow,
    Version,
    WebSession,
)
from lake import storage
from monitors.slo.serving import SERVING
from services.alerting import dispatch, incidents
from services.platform_faults import platform_alerts

JOB = "delete_files"  # its subject is the id and the name of a model
PATIENCE = timedelta(hours=1)  # longer than any lease or upload
SERVES = timedelta(days=1)  # of event time: what has answered since then serves


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where files of models lie."""

    lake: LakeRoot
    artifacts: Path
    reports: Path


def delete_monitor(session: Session, model_id: UUID, name: str, now: datetime) -> None:
    """Delete a monitor with its findings and its alert, which is resolved first if it fires.

    Raises
    ------
    NotFound
        If the model has no such monitor.
    """
    # Locked: no evaluation adds to what is deleted.
    monitor = session.scalar(
        select(Monitor)
        .where(Monitor.model_id == model_id, Monitor.name == name)
        .with_for_update()
    )
    if monitor is None:
        raise NotFound(f"no monitor {name!r} of this model")
    alerts = select(Alert.id).where(Alert.monitor_id == monitor.id)
    flips = select(FlipRow.id).where(FlipRow.alert_id.in_(alerts))
    _resolve(session, alerts, f"monitor {name!r} was deleted", now)
    session.execute(update(Rollout).where(Rollout.flip_id.in_(flips)).values(flip_id=None))
    session.execute(delete(FlipRow).where(FlipRow.alert_id.in_(alerts)))
    session.execute(delete(Alert).where(Alert.monitor_id == monitor.id))
    session.execute(delete(Finding).where(Finding.monitor_id == monitor.id))
    session.delete(monitor)
    _ask(session, session.get_one(Model, model_id), now)


def delete_version(session: Session, model_id: UUID, name: str, now: datetime) -> None:
    """Delete a version and its weights; what it predicted stays in the log, under its name.

    Raises
    ------
    NotFound
        If the model has no such version.
    Conflict
        If it serves, is the champion, or takes part in a rollout that is not over.
    """
    # load
    model = session.get_one(Model, model_id, with_for_update=True)
    version = models.find_version(session, model_id, name)
    champion = models.champion(session, model_id)
    rollout = models.open_rollout(session, model_id)
    newest = summaries.newest(session, SERVING, model_id, name)
    served_at = None if newest is None else SERVING.from_many([newest.payload]).last

    # decide
    if champion is not None and champion[1].id == version.id:
        raise Conflict(f"version {name!r} is the champion: choose another one first")
    if rollout is not None and version.id in (rollout.base_id, rollout.challenger_id):
        raise Conflict(f"version {name!r} takes part in rollout {rollout.id}: end it first")
    is_recent = served_at and model.watermark and served_at > model.watermark - SERVES
    if served_at and is_recent:
        raise Conflict(f"version {name!r} serves: its last predictions are of {served_at}")

    # save
    for column in (Rollout.base_id, Rollout.challenger_id):
        session.execute(update(Rollout).where(column == version.id).values({column.key: None}))
    session.delete(version)
    _ask(session, model, now)


def delete_model(session: Session, model_id: UUID, now: datetime) -> None:
    """Delete a model with all that is known of it; a job removes its files.

    Alerts that fire are resolved first. Keys for this model alone go too: without it they
    would be for every model.

    Raises
    ------
    Conflict
        While a rollout is open: somebody trains on its rows, or serves two versions.
    """
    model = session.get_one(Model, model_id, with_for_update=True)
    rollout = models.open_rollout(session, model_id)
    if rollout is not None:
        raise Conflict(_is_open(rollout.id, model.name))

    cause = f"model {model.name!r} was deleted"
    _resolve(session, select(Alert.id).where(Alert.model_id == model_id), cause, now)
    for fault in platform_alerts.open_alerts(session, model_id):
        if fault.model_id == model_id:
            platform_alerts.resolve(session, fault.kind, fault.subject, now)
    _ask(session, model, now)
    _delete_rows(session, model_id)


def open_rollouts(session: Session, names: Collection[str]) -> list[str]:
    """Return why some models cannot be deleted now: a sentence for each open rollout."""
    opened = (
        select(Rollout.id, Model.name)
        .join(Model, Model.id == Rollout.model_id)
        .where(Rollout.finished_at.is_(None))
        .order_by(Model.name)
    )
    return [_is_open(one, name) for one, name in session.execute(opened) if name in names]


def _is_open(rollout_id: UUID, name: str) -> str:
    return f"rollout {rollout_id} of model {name!r} is open: end it first"


def _delete_rows(session: Session, model_id: UUID) -> None:
    """Delete every row about a model: what refers to others first."""
    subjects = {str(model_id)}
    for table in (Finding, Rollout, BacktestRow, SourceRow):
        ids = session.scalars(select(table.id).where(table.model_id == model_id))
        subjects |= {str(one) for one in ids}
    waiting = session.execute(select(Run.id, Run.subject).where(Run.subject != "")).all()
    gone = [run_id for run_id, subject in waiting if subject in subjects]
    session.execute(delete(Run).where(Run.id.in_(gone)))
    rollouts = select(Rollout.id).where(Rollout.model_id == model_id)
    keys = select(ApiKey.id).where(ApiKey.model_id == model_id)
    session.execute(delete(SessionScore).where(SessionScore.rollout_id.in_(rollouts)))
    session.execute(delete(RolloutEvent).where(RolloutEvent.rollout_id.in_(rollouts)))
    session.execute(delete(WebSession).where(WebSession.api_key_id.in_(keys)))
    session.flush()
    for table in reversed(Base.metadata.sorted_tables):
        if "model_id" in table.c:
            session.execute(delete(table).where(table.c.model_id == model_id))
    session.execute(delete(Model).where(Model.id == model_id))
    session.expire_all()


def _resolve(session: Session, alerts: Select[UUID], cause: str, now: datetime) -> None:
    """Notify who was notified that an alert fires; the alert itself is about to go."""
    for alert in session.scalars(select(Alert).where(Alert.id.in_(alerts))):
        state = AlertState(phase=alert.phase, streak=alert.streak, since=alert.since)
        _, change = retire(state, Reason.DELETED)
        incident = incidents.open_of(session, alert.id)
        if change is None or incident is None:
            continue
        model = session.get_one(Model, alert.model_id)
        flip = FlipRow(
            alert_id=alert.id,
            model_id=alert.model_id,
            flip=change.flip,
            reason=change.reason,
            cause=cause,
            at=model.watermark or now,
            recorded_at=now,
            publication=None,
        )
        session.add(flip)
        session.flush()
        incidents.end(session, incident, flip, now)
    of_alerts = select(Incident.id).where(Incident.alert_id.in_(alerts))
    groups = (
        select(AlertGroup.id, AlertGroup.flush_no)
        .join(GroupMember, GroupMember.group_id == AlertGroup.id)
        .where(GroupMember.incident_id.in_(of_alerts))
        .distinct()
    )
    session.flush()
    for group_id, number in session.execute(groups).all():
        dispatch.flush_group(session, group_id, number, now)
    for table in (NotifiedIncident, GroupMember):
        session.execute(delete(table).where(table.incident_id.in_(of_alerts)))
    session.execute(delete(Incident).where(Incident.alert_id.in_(alerts)))


def _ask(session: Session, model: Model, now: datetime) -> None:
    for at in (now, now + PATIENCE):
        runs.ask(session, JOB, at, at, f"{model.id} {model.name}")


def delete_files(
    sessions: sessionmaker[Session], places: Places, subject: str, now: datetime
) -> int:
    """Remove the files of a model that no row names any more; how many of the small ones.

    Parameters
    ----------
    sessions
        Opens transactions; none is open while files are removed.
    places
        Where files lie.
    subject
        As the job names it.
    now
        Wall time. Weights that are younger than half an hour may be about to be named.
    """
    from lake import published  # the API, which deletes models too, needs no Delta
    from services.open_tables.registry import TABLES

    text, _, name = subject.partition(" ")
    model_id = UUID(text)
    with read_only(sessions) as session:
        is_there = session.get(Model, model_id) is not None
        findings = {
            str(one)
            for one in session.scalars(select(Finding.id).where(Finding.model_id == model_id))
        }
        weights = {
            *session.scalars(
                select(Version.sha256)
                .join(Model, Model.id == Version.model_id)
                .where(Model.name == name)
            )
        }
    if not is_there:
        storage.remove(places.lake, text)
        for table in TABLES:
            published.delete_model(places.lake, table.name, text)
        payload_files.sweep(sessions)
    reports = [
        path for path in (places.reports / text).glob("*.html") if path.stem not in findings
    ]
    old = [
        path
        for path in (places.artifacts / name).glob("*.safetensors")
        if path.stem not in weights and _changed_at(path) < now - PATIENCE / 2
    ]
    for path in [*reports, *old]:
        path.unlink(missing_ok=True)
    return len(reports) + len(old)


def _changed_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
