"""Fold: turn what was received into summaries, each row exactly once.

The entries of the inbox get their group number in the transaction that
merges their summaries, and only one fold can give a number: an entry is
counted when, and only when, it is numbered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.orm import Session, sessionmaker

from core.contract import Contract
from core.feature import Dtype, Feature, Sensitivity
from core.policy import Policy
from core.rows import REFERENCE, Kind, Stage, Status
from db.queries import log, summaries
from db.queries.log import MAX_ENTRIES
from db.queries.summaries import Served
from db.session import read_only, unit_of_work
from db.tables import Model
from lake.lists import Flat, Floats, Ints, flatten, flatten_codes, micros, numbers
from monitors import categories
from monitors.segments import keys, total
from monitors.summary import (
    Column,
    Edges,
    Summary,
    chunk_index,
    empty,
    freeze,
    repeats,
    summarise,
)
from services import odd_time, outputs, segments, shapes
from services.folded import Frozen, Made, Part, frozen, write
from services.outage import is_outage
from services.set_aside import AtFault, work_through

# Of payload in one group: bounds memory, and how long ingest waits for the transaction.
MAX_BYTES = 16 * 2**20
MAX_GROUPS = 64  # of one stream in one call: the others get their turn
ENOUGH = 1_000  # values of each feature that edges are taken from
PATIENCE = timedelta(minutes=1)  # wall time; then fewer must do

_FAILED = pa.array([Status.ERROR.value, Status.TIMEOUT.value])


def fold_all(sessions: sessionmaker[Session], now: datetime) -> int:
    """Fold what waits, of every stream, a group of each in turn; how many rows.

    A stream that cannot be folded is set aside; all others go on.
    """
    with read_only(sessions) as session:
        streams = log.waiting(session, folded=False)

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

    batch: log.Batch
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
        last_group, _ = log.position(session, model_id, kind)
        batch = log.unfolded(session, model_id, kind, MAX_BYTES, max_entries)
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
            contract=Contract.from_json(model.contract),
            policy=Policy.from_json(model.policy),
            clock=model.watermark,
            before=before,
            busy=shapes.busy(session, model_id, before.shape),
        )


def summarised(group: Group, rows: pa.Table, *, is_late: bool) -> Made | None:
    """Return what rows of a group add; None where they are too few for a first set of edges."""
    grown = grown_edges(group.before, rows, group.contract, is_late=is_late)
    if grown is None:
        return None
    edges = _with_shape(grown, rows, group.contract, group.busy)
    return Made(
        before=group.before,
        edges=edges,
        parts=summarise_rows(rows, group.contract, edges),
        times=odd_time.look(rows, group.clock, group.policy.lateness),
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
            if log.number(session, model_id, kind, batch, group.last_group) is None:
                return 0
            if made is not None:
                write(session, model_id, made, now)
    except log.EntriesGone:
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
    batch: log.Batch,
) -> list[bytes] | None:
    """Return the content of entries; None when others have moved them on meanwhile.

    Raises
    ------
    FileNotFoundError
        If the file of one is gone, although it still waits.
    """
    seen = log.position(session, model_id, kind)
    try:
        return log.payloads(session, batch)
    except KeyError:  # PostgreSQL: between two statements an archiver has removed them
        return None
    except FileNotFoundError:
        with read_only(sessions) as later:
            if log.position(later, model_id, kind) == seen:
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


def grown_edges(
    before: Frozen, rows: pa.Table, contract: Contract, *, is_late: bool
) -> Frozen | None:
    """Return the edges with those of what has none yet, or None to wait for more.

    Parameters
    ----------
    before
        What there is; it never changes.
    rows
        Predictions.
    contract
        Names features and targets, and says what tells segments apart.
    is_late
        Wait no longer.
    """
    of_input = input_edges(before.input, rows, contract, is_late=is_late)
    if of_input is None:
        return None
    of_output = before.output
    if of_output is None and (told := outputs.said(rows)).num_rows:
        of_output = outputs.edges_of(told, contract, of_input, is_late=is_late)
        if of_output is None:
            return None
    names = segments.grown(_served_rows(rows), contract, before.names)
    return Frozen(input=of_input, output=of_output, shape=before.shape, names=names)


def _served_rows(rows: pa.Table) -> pa.Table:
    shadow = rows["shadow"]
    return rows.filter(pc.invert(shadow)) if pc.any(shadow).as_py() else rows


def _with_shape(grown: Frozen, rows: pa.Table, contract: Contract, busy: float) -> Frozen:
    assert grown.input is not None
    layout = shapes.grown(grown.shape, rows, contract, grown.input, busy)
    return replace(grown, shape=layout)


def input_edges(
    frozen: Edges | None, rows: pa.Table, contract: Contract, *, is_late: bool
) -> Edges | None:
    """Return the edges with those of features that have none yet, or None to wait for more.

    Parameters
    ----------
    frozen
        What there is; it never changes.
    rows
        Predictions.
    contract
        Names the features.
    is_late
        Wait no longer. A feature that must be there and has no value at all
        then gets edges at 0; its moments are kept all the same.

    Returns
    -------
    Edges or None
        Numbers get theirs from their first values. One that may be absent, or
        that the contract gained later, gets them when its first values come.
    """
    known = {*frozen.names} if frozen is not None else set[str]()
    new = [feature for feature in contract.kept if feature.name not in known]
    if not new:
        return frozen
    columns: dict[str, Floats] = {}
    for feature in new:
        if feature.dtype is Dtype.CATEGORY:
            columns[feature.name] = categories.EDGES
            continue
        values = flatten(rows, "features", feature.name).values
        values = values[np.isfinite(values)]
        if not values.size and (frozen is not None or feature.optional):
            continue
        if values.size < ENOUGH and not is_late:
            return None
        own = freeze({feature.name: values if values.size else np.zeros(1)})
        columns[feature.name] = own.values[0]
    return _with_edges(frozen, columns, is_late=is_late)


def _with_edges(
    frozen: Edges | None, columns: Mapping[str, Floats], *, is_late: bool
) -> Edges | None:
    if not columns:  # of a new model, where everything may be absent: its clock must go on
        none = Edges(names=(), values=np.empty((0, categories.EDGES.size)))
        return none if frozen is None and is_late else frozen
    values = [*columns.values()] if frozen is None else [*frozen.values, *columns.values()]
    names = (*columns,) if frozen is None else (*frozen.names, *columns)
    return Edges(names=names, values=np.array(values))


def summarise_rows(rows: pa.Table, contract: Contract, edges: Frozen) -> list[Part]:
    """Summarise predictions by version.

    Shadow rows are left out: their input was served, and counted, once, and what
    they say nobody was told.
    """
    rows = _served_rows(rows)
    if contract.segment_by:
        rows = segments.place(rows, contract, edges.names)
    versions = pc.unique(rows["version"]).to_pylist()
    parts = []
    for version in versions:
        own = rows if len(versions) == 1 else rows.filter(pc.equal(rows["version"], version))
        at, of_input = micros(own["at"]), edges.input
        assert of_input is not None
        parts.append(
            _apart(
                Part(
                    version=version,
                    input=_input(own, at, contract, of_input),
                    output=_output(own, contract, edges.output),
                    shape=shapes.summarise_shapes(own, version, contract, edges.shape),
                    served=None if version == REFERENCE else _served(own, at),
                ),
                contract,
            )
        )
    return parts


def _apart(part: Part, contract: Contract) -> Part:
    """Add up what was summarised by segment: values are looked at once."""
    if not contract.segment_by:
        return part
    return replace(
        part,
        input=total(part.input),
        output=None if part.output is None else total(part.output),
        by_segment=part.input,
        said_by_segment=part.output,
    )


def _output(rows: pa.Table, contract: Contract, edges: Edges | None) -> Summary | None:
    told = outputs.said(rows)
    if edges is None or not told.num_rows:
        return None
    return outputs.summarise_outputs(told, micros(told["at"]), contract, edges)


def _input(rows: pa.Table, at: Ints, contract: Contract, edges: Edges) -> Summary:
    if not edges.names:
        return empty(0, edges.values.shape[-1] + 1)
    step = contract.step_seconds * 1_000_000
    of_texts = {f.name: _places(f) for f in contract.kept if f.dtype is Dtype.CATEGORY}
    columns: list[Column] = []
    before: Flat | None = None
    chunks, places = at, segments.of(rows)
    for name in edges.names:
        if name in of_texts:
            flat = flatten_codes(rows, "features", name, of_texts[name])
        else:
            flat = flatten(rows, "features", name)
        if before is None or not np.array_equal(flat.lengths, before.lengths):
            times = at if flat.is_single else at[flat.rows] - flat.back * step
            chunks = chunk_index(times)
            if places is not None:
                chunks = keys(chunks, places if flat.is_single else places[flat.rows])
        before = flat
        columns.append(
            Column(
                values=flat.values,
                chunks=chunks,
                repeats=repeats(flat.values, flat.steps == 0),
            )
        )
    return summarise(columns, edges)


def _places(feature: Feature) -> tuple[str, ...]:
    """Return the texts that are counted by their place; those of a hash are not known."""
    return () if feature.sensitivity is Sensitivity.HASH else feature.vocabulary


def _served(rows: pa.Table, at: Ints) -> Served:
    slices, places = np.unique(summaries.slice_index(at), return_inverse=True)
    failed = pc.is_in(rows["status"], value_set=_FAILED).to_numpy()
    degraded = pc.equal(rows["status"], Status.DEGRADED.value).fill_null(False).to_numpy()
    latency = numbers(rows["latency_seconds"])
    there = np.isfinite(latency)
    bins = np.searchsorted(summaries.LATENCY_EDGES, latency[there], side="right")
    n_bins = summaries.LATENCY_EDGES.size + 1
    cells, has_failed = places[there] * n_bins + bins, failed[there]

    def laid(cells: Ints) -> Ints:
        return np.bincount(cells, minlength=slices.size * n_bins).reshape(slices.size, n_bins)

    return Served(
        slices=slices,
        n=np.bincount(places, minlength=slices.size),
        n_failed=np.bincount(places[failed], minlength=slices.size),
        n_degraded=np.bincount(places[degraded], minlength=slices.size),
        latency=laid(cells),
        failed_latency=laid(cells[has_failed]),
    )
