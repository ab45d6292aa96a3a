"""Archive: append folded groups to the lake, each exactly once.

Three steps, and a crash between any two is mended by the next archive: Delta
commits the rows together with the number of their last group; the disk is
flushed; the database then forgets the groups up to that number. An archive that
finds the lake ahead of the database does not append again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
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
from db import payload_files, payload_tables
from db.queries import models, summaries
from db.queries.log import archiving, event_ids, positions
from db.queries.log.positions import Batch
from db.session import read_only, unit_of_work
from db.tables import Receipt
from lake import storage, tables
from lake.lists import Ints, micros
from lake.reading import Log
from lake.storage import LakeAstray
from monitors.slo.serving import SERVING
from services.aggregation.fold import contents_of, decode
from services.platform_faults import set_aside
from services.platform_faults.outage import is_outage
from services.platform_faults.set_aside import Actions, AtFault, Stream, work_together
from services.retention import table_upkeep
from services.retention.retention import first_kept, first_whole

MAX_BYTES = 64 * 2**20  # of payload in one append, and of several streams together
ENOUGH = 8 * 2**20  # of one stream: they wait for no others
MAX_APPENDS = 64  # of one stream in one call: the others get their turn
_DAY_US = DAY // timedelta(microseconds=1)
_EPOCH_DAY = date(1970, 1, 1)

# A label that names its prediction does not hold its time. It is searched this
# far back in event time; a later label is kept, and joined when its day is for other reasons.
LOOK_BACK = timedelta(days=90)


def archive_all(
    sessions: sessionmaker[Session],
    lake_root: LakeRoot,
    now: datetime,
    after: timedelta = timedelta(0),
) -> int:
    """Archive what is folded, of every stream, an append of each in turn; how many rows.

    A stream that cannot be archived is set aside; all others go on.

    Parameters
    ----------
    sessions, lake_root
        As of `archive_together`.
    now
        Wall time.
    after
        Rows wait so long, unless `ENOUGH` bytes do: each append makes a file.
    """
    payload_files.sweep(sessions)  # of the last time: who read them then has them by now
    payload_tables.truncate_emptied(sessions)
    with read_only(sessions) as session:
        since = now if payload_tables.is_to_be_emptied(session, now) else now - after
        streams = archiving.waiting(session, since, now, ENOUGH)
        # Those set aside stay so until they go on, however young their rows are.
        if aside := set_aside.models_at(session, Stage.ARCHIVE):
            due, every = {*streams}, archiving.waiting(session, now, now, ENOUGH)
            streams = [each for each in every if each in due or each[0] in aside]

    def act(model_id: UUID, kind: Kind) -> int:
        try:
            return archive(sessions, lake_root, model_id, kind)
        except Exception as error:
            if is_outage(error):
                raise
            return _archive_one(sessions, lake_root, model_id, kind)

    def act_together(some: Sequence[Stream]) -> Mapping[Stream, int]:
        return archive_together(sessions, lake_root, some)

    actions = Actions(one=act, together=act_together)
    return work_together(sessions, Stage.ARCHIVE, streams, actions, now, turns=MAX_APPENDS)


def _archive_one(
    sessions: sessionmaker[Session], lake_root: LakeRoot, model_id: UUID, kind: Kind
) -> int:
    """Archive one group alone, so that the group at fault is named."""
    stream = model_id, kind
    with read_only(sessions) as session:
        first = archiving.groups(session, [stream], 0, 0)[stream]
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
    """Append the oldest folded groups of one stream, as `archive_together`; how many rows."""
    stream = model_id, kind
    return archive_together(sessions, lake_root, [stream], max_bytes).get(stream, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """Groups of one stream on their way to the lake.

    Attributes
    ----------
    table
        As it was when they were read.
    archived
        The last group that the database had archived.
    """

    contract: Contract
    table: DeltaTable
    archived: int
    batch: Batch
    payloads: list[bytes]


def archive_together(
    sessions: sessionmaker[Session],
    lake_root: LakeRoot,
    streams: Sequence[Stream],
    max_bytes: int = MAX_BYTES,
) -> dict[Stream, int]:
    """Append the oldest folded groups of some streams, each to its table.

    All are on disk before the database forgets any.

    Parameters
    ----------
    sessions
        Opens transactions; none is open while files are written.
    lake_root
        Where all logs lie.
    streams
        At least one.
    max_bytes
        Of payload of one stream; at least one group is taken.

    Returns
    -------
    dict
        How many rows left the inbox, by stream. 0 when none waits, or when another archiver
        was faster. Streams that did not fit are absent; at least one is there.

    Raises
    ------
    LakeAstray
        If the lake does not hold what was archived before, or holds what was
        never folded.
    """
    # load
    groups, n_rows = _load(sessions, lake_root, streams, max_bytes)

    # decide, and append
    days = {stream: _append(lake_root, stream, of) for stream, of in groups.items()}
    appended = {stream: found for stream, found in days.items() if found is not None}
    if not appended:
        return n_rows
    storage.sync(lake_root)

    # save
    with unit_of_work(sessions) as session:
        batches = {stream: groups[stream].batch for stream in appended}
        last_seen = {stream: groups[stream].archived for stream in appended}
        states = archiving.close(session, batches, last_seen)
        _mark(session, {stream: (appended[stream], rev) for stream, rev in states.items()})
    for stream in states:
        table_upkeep.tidy(sessions, stream, groups[stream].table)
    return n_rows | {stream: batches[stream].n_rows for stream in states}


def _load(
    sessions: sessionmaker[Session],
    lake_root: LakeRoot,
    streams: Sequence[Stream],
    max_bytes: int,
) -> tuple[dict[Stream, _Groups], dict[Stream, int]]:
    """Read what is to be appended; and 0 rows for each stream of which nothing is."""
    with read_only(sessions) as session:
        before = archiving.reached(session, streams)
        batches = archiving.groups(session, streams, max_bytes, MAX_BYTES)
        waiting = [stream for stream, batch in batches.items() if batch is not None]
        found = models.some(session, {model_id for model_id, _ in waiting})
        contracts = {model.id: model.contract for model in found}
        is_begun = positions.has_archived(session)
    is_new = not all(before[stream].archived for stream in waiting)
    if is_begun and is_new and storage.is_empty(lake_root):
        # A new model would begin a new lake where the volume of the old one is not mounted.
        raise LakeAstray("the lake is missing or empty, but the database archived rows into it")
    opened = {s: _opened(lake_root, s, contracts[s[0]], before[s].archived) for s in waiting}
    with read_only(sessions) as session:
        now = archiving.reached(session, waiting)
        for stream, (_, in_lake) in opened.items():
            if in_lake > now[stream].folded:
                raise LakeAstray(
                    f"{stream[1]} of model {stream[0]}: the lake ends at group {in_lake}, "
                    f"but the database folded up to {now[stream].folded}"
                )
            if in_lake > before[stream].archived:  # an archiver died after its append
                batches[stream] = positions.up_to(session, *stream, in_lake)
        full = {stream: batch for stream, batch in batches.items() if batch is not None}
        payloads = contents_of(sessions, session, full)
    groups = {
        stream: _Groups(
            contract=contracts[stream[0]],
            table=opened[stream][0],
            archived=before[stream].archived,
            batch=full[stream],
            payloads=found,
        )
        for stream, found in payloads.items()
    }
    return groups, dict.fromkeys(batches, 0)


def _opened(
    lake_root: LakeRoot, stream: Stream, contract: Contract, archived: int
) -> tuple[DeltaTable, int]:
    """Return a table and its last group.

    A lake that is away for a while is not begun anew in its place.
    """
    model_id, kind = stream
    table = tables.open_table(lake_root, model_id, kind)
    if table is None and not archived:
        table = tables.create_table(lake_root, model_id, kind, contract)
    # Of this very state, which another archiver may just have made.
    in_lake = tables.last_group(table) if table is not None else 0
    if table is None or in_lake < archived:
        raise LakeAstray(
            f"{kind} of model {model_id}: the lake ends at group {in_lake}, "
            f"but the database archived up to {archived}"
        )
    return table, in_lake


def _append(lake_root: LakeRoot, stream: Stream, of: _Groups) -> set[date] | None:
    """Append groups, unless the lake has them; the days whose joins they change.

    None where another archiver was faster.
    """
    model_id, kind = stream
    rows = tables.stamped(kind, of.contract, decode(of.payloads))
    assert of.batch.last_group is not None
    if of.batch.last_group > tables.last_group(of.table):
        try:
            tables.append(of.table, rows, of.batch.last_group)
        except tables.LakeMoved:
            return None
    return dirty(partial(Log, lake_root, model_id), kind, of.contract, rows)


def _mark(session: Session, states: Mapping[Stream, tuple[set[date], int]]) -> None:
    """Ask for the joins of the days that rows of these streams have changed."""
    of_models = {model.id: model for model in models.some(session, [s[0] for s in states])}
    firsts = summaries.first_of_models(session, SERVING, [*of_models])
    marks: dict[UUID, dict[date, int]] = {}
    for (model_id, _), (days, rev) in states.items():
        model = of_models[model_id]
        if model_id not in firsts or model.watermark is None:
            continue
        first = firsts[model_id].date()
        oldest = first_kept(model)
        if oldest is not None:  # of older days no rows are left
            first = max(first, first_whole(model, oldest))
        kept = [day for day in days if first <= day <= model.watermark.date()]
        own = marks.setdefault(model_id, {})
        for day in models.zone_of(model).overlapping(kept):
            own[day] = max(rev, own.get(day, 0))
    positions.mark_days(session, marks)


def dirty(
    history: Callable[[], Log], kind: Kind, contract: Contract, rows: pa.Table
) -> set[date]:
    """Return the event days of predictions whose joins these rows change.

    Parameters
    ----------
    history
        Opens the log in which labels that name a prediction find its day.
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
    if kind is Kind.EVENTS:
        return set()
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
            days |= _days_of(history(), name, named)
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
    """Forget receipts of batches and events that nobody will send again; how many batches."""
    event_ids.forget(session, before)
    gone = session.execute(delete(Receipt).where(Receipt.received_at < before))
    return gone.rowcount  # type: ignore[attr-defined, no-any-return]
