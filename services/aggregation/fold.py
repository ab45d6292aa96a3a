"""Fold: turn what was received into summaries, each row exactly once.

The entries of the inbox get their group number in the transaction that
merges their summaries, and only one fold can give a number: an entry is
counted when, and only when, it is numbered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeAlias
from uuid import UUID

import pyarrow as pa
from sqlalchemy.orm import Session, sessionmaker

from core.policy import Policy
from core.schema.contract import Contract
from core.schema.rows import Kind, Stage
from core.schema.zone import Zone
from db.queries import models
from db.queries.log import positions, unfolded
from db.queries.log.positions import MAX_ENTRIES
from db.queries.log.unfolded import Bounds
from db.queries.queue import runs
from db.session import read_only, unit_of_work
from lake.streams import read_stream
from services.aggregation import entities, events, window_profiles
from services.aggregation.events import EventCounts
from services.aggregation.folded import (
    REBUILD_JOB,
    Frozen,
    Made,
    days_of,
    frozen_of,
    late_hours_of,
    write,
)
from services.aggregation.row_summaries import grown_edges, summarise_rows, with_window_profile
from services.ingest import event_time
from services.platform_faults.outage import is_outage
from services.platform_faults.set_aside import Actions, AtFault, Stream, work_together

# Of payload in one group: bounds memory, and how long ingest waits for the transaction.
MAX_BYTES = 16 * 2**20
MAX_BYTES_TOGETHER = 2**20  # of the groups of several streams in one transaction
MAX_GROUPS = 64  # of one stream in one call: the others get their turn
PATIENCE = timedelta(minutes=1)  # wall time; then fewer must do

Added: TypeAlias = Made | EventCounts  # by a group, to the summaries


def fold_all(sessions: sessionmaker[Session], now: datetime) -> int:
    """Fold what waits, of every stream, a group of each in turn; how many rows.

    A stream that cannot be folded is set aside; all others go on.
    """
    with read_only(sessions) as session:
        streams = positions.waiting(session, folded=False)

    def act(model_id: UUID, kind: Kind) -> int:
        try:
            return fold(sessions, model_id, kind, now)
        except Exception as error:
            if is_outage(error):
                raise
            return fold_before(sessions, model_id, kind, now, error)

    def act_together(some: Sequence[Stream]) -> Mapping[Stream, int]:
        return fold_together(sessions, some, now)

    actions = Actions(one=act, together=act_together)
    return work_together(sessions, Stage.FOLD, streams, actions, now, turns=MAX_GROUPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Entries of the inbox to be folded together, and what must be known to do so.

    Attributes
    ----------
    kind
        What the rows are.
    payloads
        The content of each entry; none for labels, of which nothing is summarised.
    last_group
        The last folded group when the entries were read.
    """

    kind: Kind
    batch: positions.Batch
    payloads: list[bytes]
    last_group: int
    contract: Contract
    policy: Policy
    clock: datetime | None
    before: Frozen
    busy: float


def load(
    sessions: sessionmaker[Session], streams: Sequence[Stream], max_entries: int = MAX_ENTRIES
) -> dict[Stream, Group | None]:
    """Read the oldest entries of some streams, as many as fit into one transaction.

    Returns
    -------
    dict
        By stream; None where nothing waits, or others were faster. Those that do not fit are
        absent; at least one is there.
    """
    bounds = Bounds(
        n_bytes=MAX_BYTES, n_bytes_together=MAX_BYTES_TOGETHER, n_entries=max_entries
    )
    with read_only(sessions) as session:
        rebuilt = runs.open_subjects(session, REBUILD_JOB)
        open_streams = [stream for stream in streams if str(stream[0]) not in rebuilt]
        groups: dict[Stream, Group | None] = dict.fromkeys({*streams} - {*open_streams})
        last_groups = unfolded.folded(session, open_streams)
        batches = unfolded.unfolded(session, open_streams, bounds)
        groups |= dict.fromkeys(batches)
        full = {stream: batch for stream, batch in batches.items() if batch is not None}
        read = {s: batch for s, batch in full.items() if s[1] is not Kind.LABELS}
        payloads = {stream: list[bytes]() for stream in full.keys() - read.keys()}
        payloads |= contents_of(sessions, session, read)
        model_ids = [*{model_id for model_id, _ in payloads}]
        of_models = {model.id: model for model in models.some(session, model_ids)}
        before = frozen_of(session, model_ids)
        for stream, own in payloads.items():
            model, batch = of_models[stream[0]], full[stream]
            edges = before[model.id]
            groups[stream] = Group(
                kind=stream[1],
                batch=batch,
                payloads=own,
                last_group=last_groups[stream],
                contract=model.contract,
                policy=model.policy,
                clock=model.watermark,
                before=edges,
                busy=window_profiles.busy(session, model, edges.window_profile),
            )
    return groups


def contents_of(
    sessions: sessionmaker[Session],
    session: Session,
    batches: Mapping[Stream, positions.Batch],
) -> dict[Stream, list[bytes]]:
    """Return what entries of streams hold, as `contents`; without what others moved on."""
    try:
        payloads = iter(positions.payloads(session, *batches.values()))
        return {s: [*islice(payloads, len(batch.ids))] for s, batch in batches.items()}
    except (KeyError, FileNotFoundError):
        found = {s: contents(sessions, session, *s, batch) for s, batch in batches.items()}
        return {stream: own for stream, own in found.items() if own is not None}


def summarised(group: Group, rows: pa.Table, *, is_late: bool) -> Added | None:
    """Return what rows of a group add; None where they are too few for a first set of edges."""
    if group.kind is Kind.EVENTS:
        return events.summarise(rows)
    grown = grown_edges(group.before, rows, group.contract, is_late=is_late)
    if grown is None:
        return None
    edges = with_window_profile(grown, rows, group.contract, group.busy)
    parts = summarise_rows(rows, group.contract, edges)
    return Made(
        before=group.before,
        edges=edges,
        parts=parts,
        times=event_time.examine(
            rows, group.clock, group.policy.lateness_of(group.contract.grain)
        ),
        days=days_of(parts, Zone(group.contract.zone)),
        entities=entities.seen(rows, group.contract.measured),
        late_hours=late_hours_of(parts, group.clock),
    )


def fold(
    sessions: sessionmaker[Session],
    model_id: UUID,
    kind: Kind,
    now: datetime,
    max_entries: int = MAX_ENTRIES,
) -> int:
    """Fold the oldest entries of one stream as its next group; how many rows.

    Parameters
    ----------
    sessions, now
        As of `fold_together`.
    model_id, kind
        The stream.
    max_entries
        Of the inbox, in one group.
    """
    stream = model_id, kind
    try:
        return fold_together(sessions, [stream], now, max_entries)[stream]
    except positions.EntriesGone:
        return 0


def fold_together(
    sessions: sessionmaker[Session],
    streams: Sequence[Stream],
    now: datetime,
    max_entries: int = MAX_ENTRIES,
) -> dict[Stream, int]:
    """Fold the oldest entries of some streams, each as its next group, in one transaction.

    Parameters
    ----------
    sessions
        Opens transactions; two are used, none while summaries are computed.
    streams
        At least one.
    now
        Wall time.
    max_entries
        Of the inbox, in all groups.

    Returns
    -------
    dict
        How many rows were folded, by stream. 0 when none waits, when another fold was
        faster, or while there is too little input to freeze a first set of bin edges.
        Streams that did not fit into the transaction are absent.

    Raises
    ------
    EntriesGone
        If an entry was taken out of the inbox meanwhile: nothing was folded.
    """
    # load
    groups = load(sessions, streams, max_entries)

    # decide
    made: dict[Stream, Added] = {}
    ready: dict[Stream, Group] = {}
    for stream, group in groups.items():
        if group is None:
            continue
        if stream[1] is not Kind.LABELS:
            # Rows from after `now` came before the clock was set back.
            is_late = not timedelta() <= now - group.batch.oldest < PATIENCE
            one = summarised(group, decode(group.payloads), is_late=is_late)
            if one is None:
                continue
            made[stream] = one
        ready[stream] = group

    # save
    taken = dict.fromkeys(groups, 0)
    if not ready:
        return taken
    with unit_of_work(sessions) as session:
        own = unfolded.number(
            session,
            {stream: group.batch for stream, group in ready.items()},
            {stream: group.last_group for stream, group in ready.items()},
        )
        _write(session, {stream: one for stream, one in made.items() if stream in own}, now)
    return taken | {stream: ready[stream].batch.n_rows for stream in own}


def _write(session: Session, made: Mapping[Stream, Added], now: datetime) -> None:
    of_events = {s[0]: one for s, one in made.items() if isinstance(one, EventCounts)}
    of_predictions = {s[0]: one for s, one in made.items() if isinstance(one, Made)}
    events.write(session, of_events, now)
    write(session, of_predictions, now)


def fold_before(
    sessions: sessionmaker[Session], model_id: UUID, kind: Kind, now: datetime, error: Exception
) -> int:
    """Fold the entries before the one that an error is about; how many rows.

    Raises
    ------
    AtFault
        If there are none before it: then it holds the stream up.
    """
    group = load(sessions, [(model_id, kind)])[model_id, kind]
    if group is None:
        return 0
    place = first_at_fault(sessions, model_id, group, now)
    if place is None:  # none fails alone: then each is folded alone
        return fold(sessions, model_id, kind, now, max_entries=1)
    n_rows = fold(sessions, model_id, kind, now, max_entries=place) if place else 0
    if not n_rows:
        raise AtFault(f"entry {group.batch.ids[place]}", error)
    return n_rows


def first_at_fault(
    sessions: sessionmaker[Session], model_id: UUID, group: Group, now: datetime
) -> int | None:
    """Return the place of the first entry that cannot be folded; None where none is found.

    Found by halving: twenty trials among thousands of entries.
    """
    low, high = 0, len(group.payloads)
    while high - low > 1:
        middle = (low + high) // 2
        if error_of(sessions, model_id, group, group.payloads[low:middle], now):
            high = middle
        else:
            low = middle
    is_found = group.payloads and error_of(
        sessions, model_id, group, group.payloads[low:high], now
    )
    return low if is_found else None


def error_of(
    sessions: sessionmaker[Session],
    model_id: UUID,
    group: Group,
    rows: Sequence[bytes] | pa.Table,
    now: datetime,
) -> Exception | None:
    """Fold some rows of a group, undo it, and return what went wrong.

    Raises
    ------
    OSError, DBAPIError
        If that may be of the surroundings.
    """
    try:
        table = rows if isinstance(rows, pa.Table) else decode(rows)
        made = summarised(group, table, is_late=True)
        with sessions() as session:
            if made is not None:
                _write(session, {(model_id, group.kind): made}, now)
                session.flush()
            session.rollback()
    except Exception as error:
        if is_outage(error):
            raise
        return error
    return None


def contents(
    sessions: sessionmaker[Session],
    session: Session,
    model_id: UUID,
    kind: Kind,
    batch: positions.Batch,
) -> list[bytes] | None:
    """Return the content of entries; None when others have moved them on meanwhile.

    Raises
    ------
    FileNotFoundError
        If the file of one is gone, although it still waits.
    """
    seen = positions.position(session, model_id, kind)
    try:
        return positions.payloads(session, batch)
    except KeyError:  # PostgreSQL: between two statements an archiver has removed them
        return None
    except FileNotFoundError:
        with read_only(sessions) as later:
            if positions.position(later, model_id, kind) == seen:
                raise
        return None


def decode(payloads: Sequence[bytes]) -> pa.Table:
    """Return the rows of some entries of one stream, in their order.

    Entries that were taken under an older contract have fewer features.
    """
    tables = [read_stream(payload) for payload in payloads]
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables(tables, promote_options="permissive")
