"""Consistent snapshot of a model's log, across inbox and lake.

The archive writes to the lake first and then takes the rows out of the inbox.
So the lake is opened first, and the inbox read after it: whatever the inbox
holds of groups that the lake has is left out, and if the inbox has already let
go of a group that this state of the lake lacks, the lake is opened again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO
from uuid import UUID

import pyarrow as pa
from sqlalchemy.orm import Session, sessionmaker

from core.errors import Busy
from core.lake_root import LakeRoot
from core.schema.contract import Contract
from core.schema.rows import JOINED, Kind, schema
from db.queries.log import unarchived
from db.session import read_only
from db.tables import Model
from lake.reading import Log
from lake.search import Search, loose

ATTEMPTS = 10  # the archive runs every half minute: a second one is rare
IN_MEMORY = 64 * 2**20  # of payload; what exceeds it is laid aside on disk
_AT_ONCE = 16 * 2**20  # of payload in one statement


class Waiting:
    """The rows of one stream that no archive has taken yet, to be read again and again."""

    def __init__(self, wanted: pa.Schema, payloads: Iterable[bytes]) -> None:
        self._schema = wanted
        self._kept: IO[bytes] = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._ends = [0]
        try:
            for payload in payloads:
                self._kept.write(payload)
                self._ends.append(self._kept.tell())
        except BaseException:
            self._kept.close()
            raise

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows, one payload after the other."""
        for start, end in zip(self._ends, self._ends[1:], strict=False):
            self._kept.seek(start)
            rows = pa.ipc.open_stream(self._kept.read(end - start)).read_all()
            yield conform(rows, self._schema)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return len(self._ends) == 1

    def close(self) -> None:
        """Let go of what was laid aside."""
        self._kept.close()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """What a lookup reads."""

    contract: Contract
    key: bytes | None
    log: Log
    lake: Search
    waiting: Mapping[Kind, Waiting]

    @property
    def predictions(self) -> Waiting:
        """The predictions that no archive has taken yet."""
        return self.waiting[Kind.PREDICTIONS]

    @property
    def labels(self) -> Waiting:
        """The labels that no archive has taken yet."""
        return self.waiting[Kind.LABELS]


@contextmanager
def open_snapshot(
    sessions: sessionmaker[Session],
    lake_root: LakeRoot,
    model_id: UUID,
    kinds: Sequence[Kind] = JOINED,
) -> Iterator[State]:
    """Give one state of a model's log to read.

    Parameters
    ----------
    sessions, lake_root, model_id
        Whose log, and where it is.
    kinds
        The streams that are read; of the first one `lake` finds rows.

    Raises
    ------
    Busy
        If files went away while they were read: rows are being erased.
    """
    state = _state(sessions, lake_root, model_id, kinds)
    try:
        yield state
    except FileNotFoundError:
        raise Busy("rows are being erased from the log right now; try again") from None
    finally:
        for rows in state.waiting.values():
            rows.close()


def _state(
    sessions: sessionmaker[Session],
    lake_root: LakeRoot,
    model_id: UUID,
    kinds: Sequence[Kind],
) -> State:
    for _ in range(ATTEMPTS):
        with suppress(FileNotFoundError):  # of a payload: archived since the inbox was read
            state = _state_now(sessions, lake_root, model_id, kinds)
            if state is not None:
                return state
    raise Busy("the archive is moving rows faster than they can be read; try again")


def _state_now(
    sessions: sessionmaker[Session],
    lake_root: LakeRoot,
    model_id: UUID,
    kinds: Sequence[Kind],
) -> State | None:
    """Read both places; None when rows moved from the one to the other meanwhile."""
    log = Log(lake_root, model_id, kinds=kinds)  # before the inbox: see above
    with ExitStack() as half_done, read_only(sessions) as session:
        unarchived.freeze(session)
        if any(
            unarchived.archived(session, model_id, kind) > log.last_group(kind)
            for kind in kinds
        ):
            return None
        model = session.get_one(Model, model_id)
        contract, key = model.contract, model.mask_key
        kept = {}
        for kind in kinds:
            after = log.last_group(kind)
            payloads = unarchived.payloads(session, model_id, kind, after, _AT_ONCE)
            rows = Waiting(loose(schema(kind, contract)), payloads)
            kept[kind] = half_done.enter_context(closing(rows))
        state = State(
            contract=contract,
            key=key,
            log=log,
            lake=Search(log, kinds[0]),
            waiting=kept,
        )
        half_done.pop_all()
    return state


def conform(rows: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Return rows in the columns that the log has today; what they lack is null.

    Parameters
    ----------
    rows
        As they were stored.
    wanted
        Columns that may be null.

    Examples
    --------
    >>> old = pa.table({"features": [{"load": [1.0]}]})
    >>> today = pa.schema([("features", pa.struct([("load", pa.list_(pa.float64())),
    ...     ("wind", pa.list_(pa.float64()))])), ("cost", pa.float64())])
    >>> conform(old, today).to_pylist()
    [{'features': {'load': [1.0], 'wind': None}, 'cost': None}]
    """
    columns = [
        _conform(rows[field.name].combine_chunks(), field.type)
        if field.name in rows.column_names
        else pa.nulls(rows.num_rows, field.type)
        for field in wanted
    ]
    return pa.Table.from_arrays(columns, schema=wanted)


def _conform(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if column.type.equals(wanted):
        return column
    if not pa.types.is_struct(wanted):
        return column.cast(wanted)
    flat = {
        field.name: child for field, child in zip(column.type, column.flatten(), strict=True)
    }
    children = [
        _conform(flat[field.name], field.type)
        if field.name in flat
        else pa.nulls(len(column), field.type)
        for field in wanted
    ]
    return pa.StructArray.from_arrays(children, fields=[*wanted], mask=column.is_null())
