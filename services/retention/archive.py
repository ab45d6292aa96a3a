"""Archive: append folded groups to the lake, each exactly once.

Three steps, and a crash between any two is mended by the next archive: Delta
commits the rows together with the number of their last group; the database
then forgets the groups up to that number; an archive that finds the lake
ahead of the database only does the latter.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from sqlalchemy import delete
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY
from core.lake_root import LakeRoot
from core.schema import task
from core.schema.contract import Contract
from core.schema.rows import REFERENCE, Kind, Stage
from core.window import Window, midnight
from db import payload_files
from db.queries.log import positions
from db.session import read_only, unit_of_work
from db.tables import Model, Receipt
from lake import storage, tables
from lake.lists import Ints, micros
from lake.reading import Log
from lake.storage import LakeAstray
from services.aggregation.fold import contents, decode
from services.platform_faults.outage import is_outage
from services.platform_faults.set_aside import AtFault, work_through
from services.retention.retention import first_kept, first_whole

MAX_BYTES = 64 * 2**20  # of payload in one append
MAX_APPENDS = 64  # of one stream in one call: the others get their turn
_DAY_US = DAY // timedelta(microseconds=1)
_EPOCH_DAY = date(1970, 1, 1)

# A label that names its prediction does not hold its time. It is searched this
# far back in event time; a later label is kept, and joined when its day is for other reasons.
LOOK_BACK = timedelta(days=90)


def archive_all(sessions: sessionmaker[Session], lake_root: LakeRoot, now: datetime) -> int:
    """Archive what is folded, of every stream, an append of each in turn; how many rows.

    A stream that cannot be archived is set aside; all others go on.
    """
    payload_files.sweep(sessions)  # of the last time: who read them then has them by now
    with read_only(sessions) as session:
        streams = positions.waiting(session, folded=True)

    def act(model_id: UUID, kind: Kind) -> int:
        try:
            return archive(sessions, lake_root, model_id, kind)
        except Exception as error:
            if is_outage(error):
                raise
            return _archive_one(sessions, lake_root, model_id, kind)

    return work_through(sessions, Stage.ARCHIVE, streams, act, now, turns=MAX_APPENDS)


def _archive_one(
    sessions: sessionmaker[Session], lake_root: LakeRoot, model_id: UUID, kind: Kind
) -> int:
    """Archive one group alone, so that the group at fault is named."""
    with read_only(sessions) as session:
        first = positions.unarchived(session, model_id, kind, max_bytes=0)
    try:
        return archive(sessions, lake_root, model_id, kind, max_bytes=0)
    except Exception as error:
        if is_outage(error) or first is None:
            raise
        raise AtFault(f"group {first.last_group}", error) from error


def archive(
    sessions: sessionmaker[Session],
    lake_root: LakeRoot,
    model_id: UUID,
    kind: Kind,
    max_bytes: int = MAX_BYTES,
) -> int:
    """Append the oldest folded groups of one stream to its table.

    Parameters
    ----------
    sessions
        Opens transactions; none is open while files are written.
    lake_root
        Where all logs lie.
    model_id, kind
        The stream.
    max_bytes
        Of payload; at least one group is taken.

    Returns
    -------
    int
        How many rows left the inbox. 0 when none waits, or when another
        archiver was faster.

    Raises
    ------
    LakeAstray
        If the lake does not hold what was archived before, or holds what was
        never folded.
    """
    # load
    with read_only(sessions) as session:
        _, archived = positions.position(session, model_id, kind)
        contract = session.get_one(Model, model_id).contract
        is_begun = positions.has_archived(session)
    if is_begun and not archived and storage.is_empty(lake_root):
        # A new model would begin a new lake where the volume of the old one is not mounted.
        raise LakeAstray("the lake is missing or empty, but the database archived rows into it")
    table = _opened(lake_root, model_id, kind, contract, archived)
    in_lake = tables.last_group(table)
    with read_only(sessions) as session:
        folded, _ = positions.position(session, model_id, kind)
        if in_lake > folded:
            raise LakeAstray(
                f"{kind} of model {model_id}: the lake ends at group {in_lake}, "
                f"but the database folded up to {folded}"
            )
        batch = (
            positions.up_to(session, model_id, kind, in_lake)
            if in_lake > archived  # an archiver died after its append
            else positions.unarchived(session, model_id, kind, max_bytes)
        )
        if batch is None:
            return 0
        payloads = contents(sessions, session, model_id, kind, batch)
        if payloads is None:
            return 0

    # decide
    rows = tables.stamped(kind, contract, decode(payloads))

    # save
    assert batch.last_group is not None
    if batch.last_group > in_lake:
        try:
            tables.append(table, rows, batch.last_group)
        except tables.LakeMoved:
            return 0
    days = dirty(Log(lake_root, model_id), kind, contract, rows)
    with unit_of_work(sessions) as session:
        state = positions.close(session, model_id, kind, batch, archived)
        if state is None:
            return 0
        served = positions.served_days(session, model_id)
        if served is not None:
            first, last = served
            model = session.get_one(Model, model_id)
            oldest = first_kept(model)
            if oldest is not None:  # of older days no rows are left
                first = max(first, first_whole(model, oldest))
            kept = [day for day in days if first <= day <= last]
            positions.mark_dirty(session, model_id, kept, state)
    tables.tidy(table)
    return batch.n_rows


def _opened(
    lake_root: LakeRoot, model_id: UUID, kind: Kind, contract: Contract, archived: int
) -> DeltaTable:
    """Return a table. A lake that is away for a while is not begun anew in its place."""
    table = tables.open_table(lake_root, model_id, kind)
    in_lake = tables.last_group(table) if table is not None else 0
    if in_lake < archived:
        raise LakeAstray(
            f"{kind} of model {model_id}: the lake ends at group {in_lake}, "
            f"but the database archived up to {archived}"
        )
    return table or tables.create_table(lake_root, model_id, kind, contract)


def dirty(history: Log, kind: Kind, contract: Contract, rows: pa.Table) -> set[date]:
    """Return the event days of predictions whose joins these rows change.

    Parameters
    ----------
    history
        Where labels that name a prediction find its day.
    kind
        What the rows are.
    contract
        Has the horizon of a forecast.
    rows
        As they are appended, with `day` and `until`.

    Returns
    -------
    set of date
        For a label by entity, the days of all forecasts that reach it.
    """
    if kind is Kind.PREDICTIONS:
        rows = rows.filter(pc.not_equal(rows["version"], REFERENCE))
        return set(pc.unique(rows["day"]).to_pylist())
    by_entity = rows.filter(
        pc.and_(pc.is_valid(rows["target_at"]), pc.is_valid(rows["entity"]))
    )
    days = {_EPOCH_DAY + timedelta(days=day) for day in _reached(by_entity, contract)}
    for name in ("prediction_id", "session_id"):  # whatever else they are about
        named = rows[name].drop_null() if name in rows.column_names else ()
        if len(named):
            days |= _days_of(history, name, named)
    return days


def _reached(labels: pa.Table, contract: Contract) -> Iterator[int]:
    """Yield the days, since 1970, of the forecasts that reach some labels."""
    step = contract.step_us
    first = (micros(labels["target_at"]) - contract.horizon * step) // _DAY_US
    if task.of(contract).compares_lists:
        step = 0  # they are about the moment of the prediction
    last = (micros(labels["until"]) - step) // _DAY_US
    spans: Ints = np.unique(np.stack([first, last], axis=1), axis=0)
    for start, end in spans.tolist():
        yield from range(start, end + 1)


def _days_of(history: Log, name: str, of: pa.ChunkedArray) -> set[date]:
    """Return the event days of predictions by id or session, as far back as they are kept."""
    newest = history.newest_day()
    if newest is None:
        return set()
    end = midnight(newest) + DAY
    wanted = pc.unique(of)
    found: set[date] = set()
    # Most labels are about the last few days: the rest is only read for those that are not.
    for window in Window(end - 4 * DAY, end), Window(end - LOOK_BACK, end - 4 * DAY):
        rows = history.predictions(
            window,
            [name, "day"],
            only=pc.is_in(ds.field(name), wanted),
        )
        if rows is None or not len(wanted):
            break
        found |= set(pc.unique(rows["day"]).to_pylist())
        known = pc.is_in(wanted, value_set=pc.unique(rows[name]))
        wanted = wanted.filter(pc.invert(known))
    return found


def forget_receipts(session: Session, before: datetime) -> int:
    """Forget receipts of batches that nobody will send again; how many."""
    gone = session.execute(delete(Receipt).where(Receipt.received_at < before))
    return gone.rowcount  # type: ignore[attr-defined, no-any-return]
