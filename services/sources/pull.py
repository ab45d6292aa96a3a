"""Pull a source: page by page, each stored with its watermark in one transaction.

Exactly once: the transaction that stores a page moves the source on from the state in which it
was read, so that a page is stored by one worker, and again by none. A batch is named after the
rows that it holds, and recognised even where a source was deleted and is pulled anew.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pyarrow as pa
from sqlalchemy.orm import Session, sessionmaker

from core import backoff
from core.errors import AppError, RowFault, Unprocessable
from core.schema.names import printable
from core.schema.rows import Kind
from core.settings import Settings
from core.terms import Terms
from db.queries import models, sources
from db.queries.log import inbox
from db.queries.queue.runs import Claim
from db.session import read_only, unit_of_work
from db.tables import Model, SourceRow
from services.access.capacity import Disks, full_aside
from services.ingest import Accepted, Batch, Feed, Format
from services.ingest.formats.decode import Section, decode
from services.ingest.mapping.layout import Layout, MappingOptions, lay_out
from services.ingest.mapping.shaping import Shaper
from services.ingest.persist import store
from services.models.registry import terms_of
from services.platform_faults import failing_jobs
from services.platform_faults.failing_jobs import Failure
from services.platform_faults.outage import described
from services.sources import columns
from services.sources.definitions import options_of
from sources.kind import Json, Page, pull, written

log = logging.getLogger(__name__)

PAGE_ROWS = 10_000
MAX_PAGES = 100  # of one run: then other sources have their turn
WAIT_FOR_ROOM = timedelta(seconds=30)
ARRIVALS_KEPT = 200
ARRIVALS_EVERY = timedelta(hours=1)  # more often they are not kept


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A source as it was read, with the terms of its model."""

    id: UUID
    rev: int
    name: str
    kind: str
    config: Mapping[str, object]
    options: MappingOptions
    every: timedelta
    after: Json
    columns: Mapping[str, str]
    arrivals: tuple[str, ...]
    n_failures: int
    model_id: UUID
    model: str
    terms: Terms

    @property
    def feed(self) -> Feed:
        """The way in that its rows take."""
        return Feed.LABELS if self.options.stream is Kind.LABELS else Feed.PREDICTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    """A page, ready to be stored, with what it changes of its source."""

    sections: list[Section]
    state: Mapping[str, Any]
    is_last: bool


@dataclass(slots=True, kw_only=True)
class _Refused:
    """Values of a page that cannot be read, by row."""

    faults: dict[int, RowFault] = field(default_factory=dict)
    n_by_field: Counter[str] = field(default_factory=Counter)

    def __call__(self, row: int, name: str, reason: str) -> None:
        """Note one."""
        self.faults.setdefault(row, RowFault(row=row, field=name, reason=reason))
        self.n_by_field[name] += 1


class _ColumnsChanged(Exception):
    """A mapped column is missing, or can no longer be read."""


class Puller:
    """Pulls sources; no transaction is open while one is read.

    Parameters
    ----------
    settings
        How much room there has to be.
    sessions
        Opens transactions.
    clock
        Wall time.
    """

    def __init__(
        self, settings: Settings, sessions: sessionmaker[Session], clock: Callable[[], datetime]
    ) -> None:
        self._sessions = sessions
        self._clock = clock
        self._limit = min(PAGE_ROWS, settings.max_rows)
        self._max_backlog_bytes = settings.max_backlog_bytes
        self._disks = Disks(settings)

    def run(self, source_id: UUID) -> int:
        """Pull what is new of a source; how many rows were stored.

        What goes wrong with the source is written to its state, and not raised.
        """
        n_stored = 0
        for _ in range(MAX_PAGES):
            # load
            with read_only(self._sessions) as session:
                source = _load(session, source_id)
                has_room = source is not None and self._has_room(session, source)
            if source is None:
                break

            # decide
            decoded = None
            if not has_room:
                state: Mapping[str, Any] = {"next_due_at": self._clock() + WAIT_FOR_ROOM}
            else:
                decoded, state = self._attempt(source)

            # save
            with unit_of_work(self._sessions) as session:
                n_accepted = _save(session, source, decoded, state, self._clock())
            n_stored += n_accepted or 0
            if n_accepted is None or decoded is None or decoded.is_last:
                break
        return n_stored

    def _has_room(self, session: Session, source: _Source) -> bool:
        if self._disks.low():
            return False
        waiting, most = inbox.backlog(session), self._max_backlog_bytes
        stream = source.model_id, source.feed.kind
        return waiting.n_bytes <= most and stream not in full_aside(waiting, most)

    def _attempt(self, source: _Source) -> tuple[_Decoded | None, Mapping[str, Any]]:
        try:
            page = pull(source.kind, source.config, source.after, self._limit)
            decoded = _decoded(source, page, self._clock())
        except _ColumnsChanged as changed:
            due = self._clock() + source.every
            return None, {"changed": str(changed), "error": str(changed), "next_due_at": due}
        except Exception as error:  # noqa: BLE001 - of a plug-in, or of what it read
            text = _reason(error, source.terms)
            log.warning("source %s of model %s: %s", source.name, source.model, text)
            n_failures = source.n_failures + 1
            due = self._clock() + backoff.delay(n_failures)
            return None, {"n_failures": n_failures, "error": text, "next_due_at": due}
        return decoded, decoded.state


def _reason(error: Exception, terms: Terms) -> str:
    """Return why a pull failed; of a foreign error, which may quote a value, just its class."""
    if isinstance(error, AppError):
        return printable(str(error))
    return type(error).__name__ if terms.contract.is_sensitive else printable(described(error))


def record_failure(session: Session, claim: Claim, failure: Failure, now: datetime) -> None:
    """Record that a run failed by itself; one that was given up waits, as any failed pull."""
    failing_jobs.record(session, claim, failure, now)
    source = session.get(SourceRow, UUID(claim.subject)) if failure.is_last else None
    if source is not None:
        due = now + max(timedelta(seconds=source.every_seconds), backoff.LONGEST)
        sources.write(
            session,
            source.id,
            source.rev,
            n_failures=source.n_failures + 1,
            error=failure.cause,
            next_due_at=due,
        )


def _load(session: Session, source_id: UUID) -> _Source | None:
    row = session.get(SourceRow, source_id)
    if row is None:
        return None
    model = session.get_one(Model, row.model_id)
    versions = {v.name: v.contract for v in models.versions(session, model.id)}
    return _Source(
        id=row.id,
        rev=row.rev,
        name=row.name,
        kind=row.kind,
        config=row.config,
        options=options_of(row),
        every=timedelta(seconds=row.every_seconds),
        after=None if row.watermark is None else json.loads(row.watermark),
        columns=row.columns,
        arrivals=tuple(row.arrivals),
        n_failures=row.n_failures,
        model_id=model.id,
        model=model.name,
        terms=terms_of(model.contract, versions, model.mask_key),
    )


def _decoded(source: _Source, page: Page, now: datetime) -> _Decoded:
    """Map, check and mask the rows of a page, as those of any batch.

    Raises
    ------
    Unprocessable
        If the mapping does not fit the columns.
    _ColumnsChanged
        If it did, and they have changed.
    """
    state: dict[str, Any] = {
        "watermark": written(page.watermark),
        "pulled_at": now,
        "next_due_at": now + source.every if page.is_last else now,
        "n_failures": 0,
        "error": None,
    }
    sections: list[Section] = []
    if page.table.num_rows:
        types = columns.types_of(page.table)
        layout = _layout(source, types)
        refused = _Refused()
        retyped = columns.retyped(
            {name: source.columns.get(name, columns.UNKNOWN) for name in layout.columns}, types
        )
        batch_id = _batch_id(source, layout, page)
        try:
            shaped = _shaped(source, layout, page.table, batch_id, refused)
            if shaped.num_rows:
                sections = _sections(source, shaped, batch_id, refused, now)
        except Unprocessable as error:
            if retyped:
                raise _ColumnsChanged("; ".join(retyped.values())) from error
            raise
        _refuse_unreadable(layout, page.table, retyped, refused)
        state |= _columns_state(source, layout, types, retyped, refused)
        state |= {"row_at": now, "arrivals": _arrivals(source.arrivals, now)}
    return _Decoded(sections=sections, state=state, is_last=page.is_last)


def _layout(source: _Source, types: Mapping[str, str]) -> Layout:
    """Return which column is which field: as on the first page, whatever has come since."""
    known = source.columns or types
    layout = lay_out([*known], source.terms.contract, source.options)
    gone = [name for name in layout.columns if name not in types]
    if gone:
        raise _ColumnsChanged(f"column {', '.join(gone)} is missing; known: {', '.join(types)}")
    return layout


def _shaped(
    source: _Source, layout: Layout, table: pa.Table, batch_id: str, refused: _Refused
) -> pa.Table:
    digest = batch_id.partition("-")[2]
    shaper = Shaper(layout, source.terms.contract, digest, refused)
    if source.feed is Feed.PREDICTIONS:
        return shaper.predictions(table, 0)
    shaped, places = shaper.labels(table, 0)
    at = {place: row for row, place in enumerate(places.to_pylist())}
    refused.faults = {  # rows without a value were left out
        at[place]: RowFault(row=at[place], field=fault.field, reason=fault.reason)
        for place, fault in refused.faults.items()
    }
    return shaped


def _refuse_unreadable(
    layout: Layout, table: pa.Table, retyped: Mapping[str, str], refused: _Refused
) -> None:
    """Refuse a page in which no value of a column with another type can be read."""
    lost = [
        retyped[name]
        for field_name, names in layout.fields.items()
        for name in names
        if name in retyped
        and refused.n_by_field[field_name] >= len(table) - table.column(name).null_count
    ]
    if lost:
        raise _ColumnsChanged("; ".join(dict.fromkeys(lost)))


def _columns_state(
    source: _Source,
    layout: Layout,
    types: Mapping[str, str],
    retyped: Mapping[str, str],
    refused: _Refused,
) -> dict[str, Any]:
    # A column in which one value cannot be read may have the type of that value.
    unsure = {
        name
        for field_name, names in layout.fields.items()
        if refused.n_by_field[field_name]
        for name in names
    }
    sure = {name: columns.UNKNOWN if name in unsure else of for name, of in types.items()}
    known = columns.merged(source.columns, sure)
    return {
        "columns": known,
        "new_columns": [name for name in types if name not in known],
        "changed": "; ".join(retyped.values()) or None,
    }


def _sections(
    source: _Source, shaped: pa.Table, batch_id: str, refused: _Refused, now: datetime
) -> list[Section]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, shaped.schema) as stream:
        stream.write_table(shaped)
    batch = Batch(
        model_id=source.model_id,
        model=source.model,
        terms=source.terms,
        feed=source.feed,
        format=Format.ARROW,
        body=sink.getvalue().to_pybytes(),
        batch_id=batch_id,
        faults=tuple(refused.faults.values()),
    )
    sections, wrong = decode({0: batch}, now, shaped.num_rows)
    for error in wrong.values():
        raise error
    return sections


def _batch_id(source: _Source, layout: Layout, page: Page) -> str:
    """Return what names a page: the rows between two watermarks, read in one way."""
    between = [written(source.after), written(page.watermark)]
    document = [source.name, source.kind, layout.digest, *between]
    return "source-" + hashlib.sha256(json.dumps(document).encode()).hexdigest()[:40]


def _arrivals(before: tuple[str, ...], now: datetime) -> list[str]:
    """Return when rows came, at most one moment an hour."""
    if before and timedelta(0) <= now - datetime.fromisoformat(before[-1]) < ARRIVALS_EVERY:
        return [*before]
    return [*before, now.isoformat()][-ARRIVALS_KEPT:]


def _save(
    session: Session,
    source: _Source,
    decoded: _Decoded | None,
    state: Mapping[str, Any],
    now: datetime,
) -> int | None:
    """Store a page and move its source on; None when another worker, or a change, was first."""
    models.lock(session, source.model_id)  # before the source, as who deletes a model does
    if not sources.write(session, source.id, source.rev, **state):
        return None
    if decoded is None or not decoded.sections:
        return 0
    outcome = store(session, decoded.sections, now)[0]
    if not isinstance(outcome, Accepted):  # pulled before, and changed in its source since
        log.warning("source %s of model %s: %s", source.name, source.model, outcome)
        return 0
    if outcome.is_duplicate:
        return 0
    sources.count(session, source.id, outcome.n_accepted, outcome.n_quarantined)
    return outcome.n_accepted
