"""Store one group of batches, in one transaction."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any
from uuid import UUID

import pyarrow as pa
from sqlalchemy.orm import Session

from core.errors import AppError, BatchMismatch
from core.schema.rows import Kind
from db import payload_files
from db.queries.log import (
    contract_violations,
    inbox,
    recompute_marks,
    row_counters,
    unusable_answers,
)
from db.queries.log.inbox import Key
from db.tables import Receipt
from services.ingest import event_time, repeated_events
from services.ingest.batch import Accepted, Feed
from services.ingest.formats.decode import Draft, Section

Outcome = Accepted | AppError

# Most columns are empty or repetitive, and fewer bytes are faster to flush. Threads
# would cost more in synchronisation than they save.
_COMPACT = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)


def store(session: Session, sections: Iterable[Section], now: datetime) -> dict[int, Outcome]:
    """Store every batch that was not received before.

    Parameters
    ----------
    session
        The results hold once it is committed.
    sections
        The decoded group; at least one.
    now
        When it was received.

    Returns
    -------
    dict
        The result of each batch, by its index in the group. A batch that was
        received before gets the result of its receipt; one whose id was used for
        other content gets BatchMismatch.
    """
    # load
    firsts: dict[Key, Draft] = {}
    for section in sections:
        for draft in section.drafts:
            firsts.setdefault(_key(draft), draft)
    named = [_receipt(firsts[key], now) for key in sorted(firsts)]  # sorted to avoid deadlocks
    new = inbox.add_receipts(session, named)
    old = inbox.receipts(session, firsts.keys() - new) if len(new) < len(firsts) else {}

    # decide
    outcomes: dict[int, Outcome] = {}
    kept: list[tuple[Section, list[Draft]]] = []
    for section in sections:
        fresh = []
        for draft in section.drafts:
            key = _key(draft)
            if key in new and firsts[key] is draft:
                fresh.append(draft)
                outcomes[draft.no] = _accepted(draft)
            elif key in new:
                first = firsts[key]
                outcomes[draft.no] = _again(draft, first.digest, _accepted(first))
            else:
                outcomes[draft.no] = _again(draft, old[key].digest, old[key])
        kept.append((section, fresh))

    # save
    kept = [_once(session, *each, outcomes, now) for each in kept]
    arrived = _keep(session, kept, now)
    every = [draft for _, drafts in kept for draft in drafts]
    if bad := [row for draft in every for row in _bad_rows(draft, now)]:
        inbox.add_quarantined(session, bad)
        _count_refused(session, every)
    _count_mismatches(session, every)
    _count_unusable(session, every)
    heard_of = {draft.batch.model_id for draft in every}
    inbox.sign_of_life(session, heard_of, arrived, now)
    return outcomes


def _once(
    session: Session,
    section: Section,
    drafts: list[Draft],
    outcomes: dict[int, Outcome],
    now: datetime,
) -> tuple[Section, list[Draft]]:
    """Leave out repeated events, and correct what was noted of their batches."""
    if not drafts or drafts[0].batch.feed is not Feed.EVENTS:
        return section, drafts
    section, found = repeated_events.drop(session, section, drafts, now)
    for draft, before in zip(found, drafts, strict=True):
        if draft is not before:
            outcomes[draft.no] = _accepted(draft)
            inbox.correct_receipt(session, _key(draft), draft.n_kept)
    return section, found


def _keep(
    session: Session, kept: Iterable[tuple[Section, list[Draft]]], now: datetime
) -> set[UUID]:
    """Store rows; return the models that have got predictions which are arrivals."""
    arrived = set[UUID]()
    for section, drafts in kept:
        rows = section.kept(drafts)
        if rows.num_rows:
            batch = drafts[0].batch
            keep(session, batch.model_id, batch.feed.kind, rows, now)
            if batch.feed is Feed.PREDICTIONS and event_time.is_arrival(rows, now):
                arrived.add(batch.model_id)
    return arrived


def _count_mismatches(session: Session, drafts: Iterable[Draft]) -> None:
    counted: Counter[contract_violations.Key] = Counter()
    days: defaultdict[UUID, set[date]] = defaultdict(set)
    for draft in drafts:
        model_id = draft.batch.model_id
        for (day, reason), n in draft.mismatches.items():
            counted[model_id, day, reason.value] += n
            days[model_id].add(day)
    contract_violations.add(session, counted)
    for model_id in sorted(days):  # sorted to avoid deadlocks
        recompute_marks.mark_closed(session, model_id, days[model_id])


def _count_unusable(session: Session, drafts: Iterable[Draft]) -> None:
    counted: Counter[unusable_answers.Key] = Counter()
    for draft in drafts:
        for answer, n in draft.unusable_answers.items():
            counted[draft.batch.model_id, *answer] += n
    unusable_answers.add(session, counted)


def _key(draft: Draft) -> Key:
    return Key(draft.batch.model_id, draft.batch.feed.kind, draft.batch_id)


def _accepted(draft: Draft) -> Accepted:
    return Accepted(
        n_accepted=draft.n_kept,
        n_quarantined=len(draft.faults),
        faults=draft.faults,
        duplicates=draft.duplicates,
    )


def _again(draft: Draft, digest: bytes, first: Accepted | Receipt) -> Outcome:
    """Return the result of a batch whose id was used before, by that of the first."""
    if draft.digest != digest:
        return BatchMismatch(f"batch {draft.batch_id!r} was sent before with other content")
    return Accepted(
        n_accepted=first.n_accepted, n_quarantined=first.n_quarantined, is_duplicate=True
    )


def _receipt(draft: Draft, now: datetime) -> dict[str, Any]:
    return {
        **_key(draft)._asdict(),
        "digest": draft.digest,
        "n_accepted": draft.n_kept,
        "n_quarantined": len(draft.faults),
        "received_at": now,
    }


def keep(
    session: Session, model_id: UUID, kind: Kind, rows: pa.Table, received_at: datetime
) -> None:
    """Store rows in the inbox: in the database or, if they are many, in a file beside it.

    Parameters
    ----------
    session
        Session of a writing transaction.
    model_id, kind
        The stream.
    rows
        In the columns of the log, masked.
    received_at
        Wall time.
    """
    entry = {
        "model_id": model_id,
        "kind": kind,
        "n_rows": rows.num_rows,
        "received_at": received_at,
    }
    beside = payload_files.folder(session)
    if beside is None or rows.nbytes < payload_files.LARGE:
        content = pa.BufferOutputStream()
        _write(rows, content)
        payload = content.getvalue().to_pybytes()
        inbox.add_entry(session, {**entry, "n_bytes": len(payload)}, payload)
        return
    with payload_files.new(session, beside) as path, pa.OSFile(str(path), "wb") as file:
        _write(rows, file)
        n_bytes = file.tell()
    inbox.add_entry(session, {**entry, "n_bytes": n_bytes, "file": path.name}, None)


def _write(rows: pa.Table, sink: pa.NativeFile) -> None:
    with pa.ipc.new_stream(sink, rows.schema, options=_COMPACT) as stream:
        stream.write_table(rows)


def _count_refused(session: Session, drafts: list[Draft]) -> None:
    """Count the rows with an impossible time, in sorted order to avoid deadlocks."""
    for draft in sorted(drafts, key=lambda draft: draft.batch.model_id):
        row_counters.add(session, draft.batch.model_id, event_time.refused(draft.faults))


def _bad_rows(draft: Draft, now: datetime) -> Iterable[dict[str, Any]]:
    for fault, content in zip(draft.faults, draft.contents, strict=True):
        yield {
            **_key(draft)._asdict(),
            "row": fault.row,
            "field": fault.field,
            "reason": fault.reason,
            "content": content,
            "received_at": now,
        }
