"""Erasure of a session or entity from database and lake.

First what waits in the inbox moves to the lake, so that there is one place to
search in. There the rows are found by one column, and deleted; so are labels of
these predictions, and what stands in quarantine. Then every place that keeps
deleted bytes is written anew. Each step may be done again: a crash anywhere is
mended by the next run, and the counts stay exact.

Whom it is about is never written down, only a digest under the model's own
key. It is compared with the digest of each value that there is.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from deltalake import DeltaTable
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.lake_root import LakeRoot
from core.schema.contract import ENTITY
from core.schema.events import EVENT_SCHEMA
from core.schema.rows import Kind
from db import payload_files
from db.queries import segments
from db.queries.log import erasure as stored
from db.queries.log import positions
from db.session import leave_no_trace, read_only, unit_of_work
from db.tables import Alert, Erasure, Finding, FlipRow, Model, Monitor
from lake import erase as rows
from lake.erase import Found
from lake.tables import open_table
from monitors import registry
from services.aggregation import entities
from services.aggregation.fold import fold
from services.platform_faults.outage import is_outage
from services.retention.archive import archive
from services.retention.erasure_requests import Subject

IDLE_SECONDS, MAX_IDLE = 0.05, 20  # how long an inbox is watched that does not move


class NotDrained(RuntimeError):
    """The inbox could not be moved to the lake yet; the next run tries again."""


ERASED = "(erased)"


@dataclass(slots=True, kw_only=True)
class Hits:
    """What was found about one subject."""

    subject: Subject
    predictions: Found = field(default_factory=Found)
    labels: Found = field(default_factory=Found)
    ids: set[str] = field(default_factory=set)
    of_ids: Found = field(default_factory=Found)
    events: Found = field(default_factory=Found)


def erase(
    sessions: sessionmaker[Session], lake_root: LakeRoot, model_id: UUID, now: datetime
) -> int:
    """Do what was asked for about a model; how many erasures were finished.

    Parameters
    ----------
    sessions
        Opens transactions; none is open while files are read or written.
    lake_root
        Where all logs lie.
    model_id
        Whose rows.
    now
        Wall time.

    Raises
    ------
    NotDrained
        If the inbox could not be moved to the lake yet.
    """
    # load
    with read_only(sessions) as session:
        subjects = _subjects(session, model_id)
        newest = stored.newest_entry(session, model_id)
    if not subjects:
        return 0
    if newest is not None:
        drain(sessions, lake_root, model_id, newest, now)
    tables = {kind: open_table(lake_root, model_id, kind) for kind in Kind}

    # decide
    before_fence = {}
    for kind, table in tables.items():
        if table is not None:
            before_fence[kind] = rows.files(table)
            rows.fence(table, kind)
    hits = [_find(tables, subject) for subject in subjects]

    # save
    _forget(sessions, model_id, hits)  # while the ids of the predictions are known
    for each in hits:
        _delete(tables, each)
    _forget(sessions, model_id, hits)  # and what a join has stored meanwhile
    _mark(sessions, model_id, {day for each in hits for day in each.predictions.days})
    n_lake = {each.erasure_id: _counted(tables, each) for each in subjects}
    for kind, table in tables.items():
        if table is not None:
            rows.scrub(table, before_fence[kind], [_note(each) for each in subjects])
    payload_files.sweep(sessions)
    leave_no_trace(sessions)
    with unit_of_work(sessions) as session:
        for erasure_id, n_rows in n_lake.items():
            erasure = session.get_one(Erasure, erasure_id, with_for_update=True)
            erasure.n_lake, erasure.finished_at, erasure.error = n_rows, now, None
    return len(subjects)


def _subjects(session: Session, model_id: UUID) -> list[Subject]:
    key = session.get_one(Model, model_id).mask_key
    return [
        Subject(erasure_id=one.id, field=one.field, digest=one.subject, key=key)
        for one in stored.unfinished(session, model_id)
        if key is not None
    ]


def drain(
    sessions: sessionmaker[Session],
    lake_root: LakeRoot,
    model_id: UUID,
    newest: int,
    now: datetime,
) -> None:
    """Move what was received up to an entry of the inbox to the lake."""
    n_idle = 0
    while n_idle < MAX_IDLE:
        n_rows = 0
        for kind in Kind:
            try:
                n_rows += fold(sessions, model_id, kind, now)
                n_rows += archive(sessions, lake_root, model_id, kind)
            except Exception as error:
                if is_outage(error):
                    raise
                raise NotDrained(
                    f"{kind.value} are set aside: {type(error).__name__}"
                ) from error
        with read_only(sessions) as session:
            if not stored.has_entries(session, model_id, newest):
                return
        if n_rows:
            n_idle = 0
        else:  # somebody else has them in hand, or there are too few to fold
            n_idle += 1
            time.sleep(IDLE_SECONDS)
    raise NotDrained("rows still wait in the inbox; erased when they are in the lake")


def _find(tables: dict[Kind, DeltaTable | None], subject: Subject) -> Hits:
    hits = Hits(subject=subject)
    predictions, labels = tables[Kind.PREDICTIONS], tables[Kind.LABELS]
    if predictions is not None:
        hits.predictions = rows.find(predictions, subject.field, subject.matches)
        hits.ids = rows.ids_of(predictions, subject.field, hits.predictions)
    if labels is not None:
        if subject.field in labels.schema().to_arrow().names:
            hits.labels = rows.find(labels, subject.field, subject.matches)
        if hits.ids:
            hits.of_ids = rows.find(labels, "prediction_id", hits.ids.__contains__)
    events = tables[Kind.EVENTS]
    if events is not None and subject.field in EVENT_SCHEMA.names:
        hits.events = rows.find(events, subject.field, subject.matches)
    return hits


def _delete(tables: dict[Kind, DeltaTable | None], hits: Hits) -> None:
    """Delete labels first: which they are is known only while the predictions are there."""
    note = _note(hits.subject)
    predictions, labels = tables[Kind.PREDICTIONS], tables[Kind.LABELS]
    events = tables[Kind.EVENTS]
    if events is not None:
        rows.delete(events, hits.subject.field, hits.events, note)
    if labels is not None:
        rows.delete(labels, "prediction_id", hits.of_ids, note)
        rows.delete(labels, hits.subject.field, hits.labels, note)
    if predictions is not None:
        rows.delete(predictions, hits.subject.field, hits.predictions, note)


def _note(subject: Subject) -> str:
    return str(subject.erasure_id)


def _counted(tables: dict[Kind, DeltaTable | None], subject: Subject) -> int:
    return sum(rows.counted(table, _note(subject)) for table in tables.values() if table)


def _forget(sessions: sessionmaker[Session], model_id: UUID, hits: Iterable[Hits]) -> None:
    """Delete what the database holds."""
    with unit_of_work(sessions) as session:
        for each in hits:
            erasure = session.get_one(Erasure, each.subject.erasure_id, with_for_update=True)
            bad = [
                row_id
                for row_id, content in stored.quarantined(session, model_id)
                if _mentions(content, each)
            ]
            erasure.n_quarantined += stored.release(session, bad)
            for pending_event in stored.pending_events(session, model_id):
                if _mentions(json.loads(pending_event.payload), each):
                    session.delete(pending_event)
                    erasure.n_inbox += 1
            if each.subject.field == ENTITY:
                given = segments.names(session, model_id).values()
                gone = [name for name in given if name and each.subject.matches(name)]
                segments.forget(session, model_id, gone)
                known = entities.names(session, model_id)
                silent = [*filter(each.subject.matches, known)]
                entities.forget(session, model_id, silent)
                _redact(session, model_id, {*silent, *gone})
            if each.subject.field == "session_id":
                known = stored.scored_sessions(session, model_id)
                stored.forget_scores(session, model_id, filter(each.subject.matches, known))


def _redact(session: Session, model_id: UUID, gone: set[str]) -> None:
    """Take the names of entities out of what monitors found silent, and its alerts."""
    kinds = registry.where(lambda kind: kind.names_entities)
    monitors = select(Monitor.id).where(Monitor.model_id == model_id, Monitor.kind.in_(kinds))
    alerts = select(Alert.id).where(Alert.monitor_id.in_(monitors))
    for name in gone:
        for row in session.scalars(select(Finding).where(Finding.monitor_id.in_(monitors))):
            text = json.dumps(row.detail)
            if json.dumps(name) in text:
                row.detail = json.loads(text.replace(json.dumps(name), json.dumps(ERASED)))
                row.cause = row.cause.replace(name, ERASED)
        for alert in session.scalars(select(Alert).where(Alert.id.in_(alerts))):
            alert.cause = alert.cause.replace(name, ERASED)
        for flip in session.scalars(select(FlipRow).where(FlipRow.alert_id.in_(alerts))):
            flip.cause = flip.cause.replace(name, ERASED)


def _mark(sessions: sessionmaker[Session], model_id: UUID, days: set[date]) -> None:
    """Make void the joins that have read deleted rows: they are computed again."""
    with unit_of_work(sessions) as session:
        served = positions.served_days(session, model_id)
        if served is not None:
            first, last = served
            # A number that no archive gives: they count upwards from 1.
            rev = -len(stored.of_model(session, model_id))
            positions.mark_dirty(
                session, model_id, [d for d in days if first <= d <= last], rev
            )


def _mentions(content: Any, hits: Hits) -> bool:
    """Return whether a text in JSON is about the subject, or names its predictions."""
    match content:
        case str():
            return content in hits.ids or hits.subject.matches(content)
        case dict():
            return any(_mentions(each, hits) for each in [*content, *content.values()])
        case list():
            return any(_mentions(each, hits) for each in content)
        case _:
            return False


def fail(sessions: sessionmaker[Session], model_id: UUID, error: Exception) -> None:
    """Note why an erasure is not done yet; never a value."""
    with unit_of_work(sessions) as session:
        for erasure in stored.unfinished(session, model_id):
            erasure.error = type(error).__name__
