"""Fold: turn what was received into summaries, each row exactly once.

The entries of the inbox get their group number in the transaction that
merges their summaries, and only one fold can give a number: an entry is
counted when, and only when, it is numbered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import pyarrow as pa
from sqlalchemy.orm import Session, sessionmaker

from core.policy import Policy
from core.schema.contract import Contract
from core.schema.rows import Kind, Stage
from db.queries.log import positions
from db.queries.log.positions import MAX_ENTRIES
from db.queries.queue import runs
from db.session import read_only, unit_of_work
from db.tables import Model
from services.aggregation import entities, window_profiles
from services.aggregation.folded import REBUILD_JOB, Frozen, Made, frozen, write
from services.aggregation.row_summaries import grown_edges, summarise_rows, with_window_profile
from services.ingest import event_time
from services.platform_faults.outage import is_outage
from services.platform_faults.set_aside import AtFault, work_through

# Of payload in one group: bounds memory, and how long ingest waits for the transaction.
MAX_BYTES = 16 * 2**20
MAX_GROUPS = 64  # of one stream in one call: the others get their turn
PATIENCE = timedelta(minutes=1)  # wall time; then fewer must do


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

    return work_through(sessions, Stage.FOLD, streams, act, now, turns=MAX_GROUPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Entries of the inbox to be folded together, and what must be known to do so.

    Attributes
    ----------
    payloads
        The content of each entry; none for labels, of which nothing is summarised.
    last_group
        The last folded group when the entries were read.
    """

    batch: positions.Batch
    payloads: list[bytes]
    last_group: int
    contract: Contract
    policy: Policy
    clock: datetime | None
    before: Frozen
    busy: float


def load(
    sessions: sessionmaker[Session], model_id: UUID, kind: Kind, max_entries: int = MAX_ENTRIES
) -> Group | None:
    """Read the oldest entries of one stream; None where none waits, or others were faster."""
    with read_only(sessions) as session:
        if str(model_id) in runs.open_subjects(session, REBUILD_JOB):
            return None
        last_group, _ = positions.position(session, model_id, kind)
        batch = positions.unfolded(session, model_id, kind, MAX_BYTES, max_entries)
        if batch is None:
            return None
        is_input = kind is Kind.PREDICTIONS
        payloads = contents(sessions, session, model_id, kind, batch) if is_input else []
        if payloads is None:
            return None
        model = session.get_one(Model, model_id)
        before = frozen(session, model_id)
        return Group(
            batch=batch,
            payloads=payloads,
            last_group=last_group,
            contract=model.contract,
            policy=model.policy,
            clock=model.watermark,
            before=before,
            busy=window_profiles.busy(session, model, before.window_profile),
        )


def summarised(group: Group, rows: pa.Table, *, is_late: bool) -> Made | None:
    """Return what rows of a group add; None where they are too few for a first set of edges."""
    grown = grown_edges(group.before, rows, group.contract, is_late=is_late)
    if grown is None:
        return None
    edges = with_window_profile(grown, rows, group.contract, group.busy)
    return Made(
        before=group.before,
        edges=edges,
        parts=summarise_rows(rows, group.contract, edges),
        times=event_time.examine(
            rows, group.clock, group.policy.lateness_of(group.contract.grain)
        ),
        entities=entities.seen(rows, group.contract.measured),
    )


def fold(
    sessions: sessionmaker[Session],
    model_id: UUID,
    kind: Kind,
    now: datetime,
    max_entries: int = MAX_ENTRIES,
) -> int:
    """Fold the oldest entries of one stream as its next group.

    Parameters
    ----------
    sessions
        Opens transactions; two are used, none while summaries are computed.
    model_id, kind
        The stream.
    now
        Wall time.
    max_entries
        Of the inbox, in one group.

    Returns
    -------
    int
        How many rows were folded. 0 when none waits, when another fold was
        faster, or while there is too little input to freeze a first set of
        bin edges.
    """
    # load
    group = load(sessions, model_id, kind, max_entries)
    if group is None:
        return 0
    batch, made = group.batch, None

    # decide
    if kind is Kind.PREDICTIONS:
        # Rows from after `now` came before the clock was set back.
        is_late = not timedelta() <= now - batch.oldest < PATIENCE
        made = summarised(group, decode(group.payloads), is_late=is_late)
        if made is None:
            return 0

    # save
    try:
        with unit_of_work(sessions) as session:
            if positions.number(session, model_id, kind, batch, group.last_group) is None:
                return 0
            if made is not None:
                write(session, model_id, made, now)
    except positions.EntriesGone:
        return 0
    return batch.n_rows


def fold_before(
    sessions: sessionmaker[Session], model_id: UUID, kind: Kind, now: datetime, error: Exception
) -> int:
    """Fold the entries before the one that an error is about; how many rows.

    Raises
    ------
    AtFault
        If there are none before it: then it holds the stream up.
    """
    group = load(sessions, model_id, kind)
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
                write(session, model_id, made, now)
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
    return pa.concat_tables(
        [pa.ipc.open_stream(payload).read_all() for payload in payloads],
        promote_options="permissive",
    )
