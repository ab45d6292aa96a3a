"""Discard of rows that block a stream: they move to quarantine, and the stream goes on.

Each entry of the inbox moves in one transaction, with the audit event and the end of the
alert: whoever is killed has moved it whole, or not at all. Receipts stay: a batch that
is sent again is a duplicate.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.errors import Conflict
from core.lake_root import LakeRoot
from core.schema.names import printable
from core.schema.rows import Kind, Stage
from core.terms import Terms
from db.queries.log import inbox, kserve, positions
from db.session import read_only, unit_of_work
from db.tables import Inbox, Model, Receipt
from lake import tables
from services.access.api_keys import audit
from services.aggregation.fold import Group, decode, error_of, first_at_fault, load
from services.ingest import persist
from services.ingest.formats.columns import Faults
from services.ingest.validation import redaction
from services.ingest.validation.rejected_rows import plain
from services.ingest.validation.validate import check_numbers
from services.platform_faults import set_aside
from services.platform_faults.set_aside import Aside

MOST_ENTRIES = 64  # at fault, that one call moves
MAX_TRIALS = 200  # to single out the rows of an entry that are at fault; then all of it is
AT_ONCE = 1_000  # rows that are written in one statement
NO_BATCH = "no batch is at fault that could be discarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """What was moved to quarantine: entries of the inbox, and rows of them."""

    n_batches: int
    n_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Discard:
    sessions: sessionmaker[Session]
    lake_root: LakeRoot
    model_id: UUID
    kind: Kind
    by: str
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bad:
    """Rows of an entry, each with field and reason, and those that stay in the inbox."""

    rows: pa.Table
    places: Sequence[int]
    fields: Sequence[str]
    reasons: Sequence[str]
    kept: pa.Table | None = None


def discard(
    sessions: sessionmaker[Session],
    lake_root: LakeRoot,
    model_id: UUID,
    kind: Kind,
    by: str,
    now: datetime,
) -> Discarded:
    """Move what is at fault in a stream that is set aside to quarantine.

    Parameters
    ----------
    sessions
        Opens transactions, one for each entry.
    lake_root
        Where all logs lie: what they hold already is not moved.
    model_id, kind
        The stream.
    by
        Who asks, for the audit.
    now
        Wall time.

    Raises
    ------
    Conflict
        If the stream is not set aside, or no batch of it is at fault.
    """
    with read_only(sessions) as session:
        aside = [row for row in set_aside.of_model(session, model_id) if row.stream == kind]
    if not aside:
        raise Conflict(f"nothing is set aside of {kind.value}")
    request = _Discard(
        sessions=sessions, lake_root=lake_root, model_id=model_id, kind=kind, by=by, now=now
    )
    moved: list[int] = []
    try:
        for row in aside:
            moved += _discard(request, row)
    except positions.EntriesGone:
        raise Conflict("the stream has moved on meanwhile; try again") from None
    if not moved:
        raise Conflict(f"{NO_BATCH}: {aside[0].error}")
    return Discarded(n_batches=len(moved), n_rows=sum(moved))


def _discard(request: _Discard, aside: Aside) -> Iterator[int]:
    """Yield how many rows were moved, entry by entry."""
    match aside.stage:
        case Stage.FOLD:
            yield from _unfolded(request)
        case Stage.ARCHIVE if aside.item:
            yield from _folded(request, aside)
        case Stage.PAIRING:
            yield _pending_events(request, aside)
        case _:  # of a lake that is astray, or of what is in the lake, no batch is at fault
            return


def _unfolded(request: _Discard) -> Iterator[int]:
    for _ in range(MOST_ENTRIES):
        stream = request.model_id, request.kind
        group = load(request.sessions, [stream])[stream]
        if group is None:
            return
        place = first_at_fault(request.sessions, request.model_id, group, request.now)
        if place is None:
            return
        bad = _bad_rows(request, group, group.payloads[place])
        with unit_of_work(request.sessions) as session:
            _move(session, request, group.batch.ids[place], None, bad)
            _finish(session, request, Stage.FOLD, len(bad.places))
        yield len(bad.places)


def _bad_rows(request: _Discard, group: Group, payload: bytes) -> _Bad:
    """Single out the rows of an entry that cannot be folded."""
    try:
        rows = decode([payload])
    except pa.ArrowException:  # nothing of it can be kept but that it was there
        nothing = pa.table({"content": pa.nulls(1)})
        return _Bad(rows=nothing, places=[0], fields=[""], reasons=["cannot be read"])
    n_trials = 0

    def failing(start: int, end: int) -> Iterator[tuple[int, str]]:
        nonlocal n_trials
        n_trials += 1
        part = rows.slice(start, end - start)
        error = error_of(request.sessions, request.model_id, group, part, request.now)
        if error is None:
            return
        if end - start > 1 and n_trials < MAX_TRIALS:
            middle = (start + end) // 2
            pending_events = [*failing(start, middle), *failing(middle, end)]
            if pending_events:
                yield from pending_events
                return
        error_type = type(error).__name__
        yield from ((row, f"cannot be folded: {error_type}") for row in range(start, end))

    found = dict(failing(0, rows.num_rows))
    faults = Faults()
    check_numbers(rows, faults)
    places = sorted(found)
    kept = np.ones(rows.num_rows, dtype=np.bool_)
    kept[places] = False
    return _Bad(
        rows=rows.take(pa.array(places)),
        places=places,
        fields=[faults.by_row[row][0] if row in faults.by_row else "" for row in places],
        reasons=[
            faults.by_row[row][1] if row in faults.by_row else found[row] for row in places
        ],
        kept=rows.filter(pa.array(kept)) if kept.any() else None,
    )


def _folded(request: _Discard, aside: Aside) -> Iterator[int]:
    """Move a group that cannot be archived; what was counted of it stays counted."""
    group_no = int(aside.item.removeprefix("group "))
    table = tables.open_table(request.lake_root, request.model_id, request.kind)
    if table is not None and tables.last_group(table) >= group_no:
        return
    reason = f"cannot be archived: {aside.error.partition(':')[0]}"
    with unit_of_work(request.sessions) as session:
        entries = positions.entries(session, request.model_id, request.kind, group_no)
        sizes = []
        for entry in entries:
            rows = decode([inbox.contents(session, [entry.id])[entry.id]])
            n = rows.num_rows
            bad = _Bad(rows=rows, places=range(n), fields=[""] * n, reasons=[reason] * n)
            _move(session, request, entry.id, group_no, bad)
            sizes.append(n)
        _finish(session, request, Stage.ARCHIVE, sum(sizes))
    yield from sizes


def _pending_events(request: _Discard, aside: Aside) -> int:
    """Move the pending events of a prediction that cannot be paired."""
    event_id = aside.item.removeprefix("event ")
    reason = f"cannot be paired: {aside.error.partition(':')[0]}"
    with unit_of_work(request.sessions) as session:
        pending_events = kserve.pending_events(session, request.model_id, event_id)
        content = {part.value: _read(each) for part, each in pending_events.items()}
        content = redaction.content(content, _terms(session, request.model_id))
        kserve.forget(session, request.model_id, event_id)
        row = _quarantined(request, f"kserve:{event_id}", 0, "", reason, content)
        inbox.add_quarantined(session, [row])
        _finish(session, request, Stage.PAIRING, 1)
    return 1


def _read(pending_event: bytes) -> Any:
    try:
        return plain(json.loads(pending_event))
    except ValueError:
        return None


def _move(
    session: Session, request: _Discard, entry_id: int, group_no: int | None, bad: _Bad
) -> None:
    entry = session.get(Inbox, entry_id)
    if entry is None:
        raise positions.EntriesGone
    received_at = entry.received_at
    batch_id = _batch_of(session, entry)
    session.expunge(entry)
    positions.take_out(session, entry_id, group_no)
    if bad.kept is not None:
        persist.keep(session, request.model_id, request.kind, bad.kept, received_at)
    terms = _terms(session, request.model_id)
    for start in range(0, bad.rows.num_rows, AT_ONCE):
        contents = bad.rows.slice(start, AT_ONCE).to_pylist()
        inbox.add_quarantined(
            session,
            [
                _quarantined(
                    request,
                    batch_id,
                    bad.places[i],
                    bad.fields[i],
                    bad.reasons[i],
                    redaction.content(_as_sent(content), terms),
                )
                for i, content in enumerate(contents, start)
            ],
        )


def _terms(session: Session, model_id: UUID) -> Terms:
    return Terms(contract=session.get_one(Model, model_id).contract)


def _as_sent(row: dict[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in row.items() if value is not None}


def _batch_of(session: Session, entry: Inbox) -> str:
    """Return the batch that an entry holds, or the entry's own number if it holds several."""
    batches = session.scalars(
        select(Receipt.batch_id)
        .where(
            Receipt.model_id == entry.model_id,
            Receipt.kind == entry.kind,
            Receipt.received_at == entry.received_at,
        )
        .limit(2)
    ).all()
    return batches[0] if len(batches) == 1 else f"entry {entry.id}"


def _quarantined(
    request: _Discard, batch_id: str, row: int, field: str, reason: str, content: dict[str, Any]
) -> dict[str, Any]:
    return {
        "model_id": request.model_id,
        "kind": request.kind,
        "batch_id": batch_id,
        "row": row,
        "field": field,
        "reason": printable(reason),
        "content": content,
        "received_at": request.now,
    }


def _finish(session: Session, request: _Discard, stage: Stage, n_rows: int) -> None:
    set_aside.released(session, stage, (request.model_id, request.kind), request.now)
    name = session.get_one(Model, request.model_id).name
    detail = {"stream": request.kind.value, "stage": stage.value, "rows": n_rows}
    audit(session, request.by, "log.discard", name, detail, request.now)
