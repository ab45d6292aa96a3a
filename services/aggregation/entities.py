"""When the predictions of each entity were made: whoever falls silent is named.

All entities of a model are one cell: it is read and written with each fold, in arrays.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.orm import Session

from core.schema.rows import REFERENCE
from db.tables import EntityState
from lake.lists import Ints, micros
from monitors.slo.silence import SilenceParams, SilentEntity

MOST = 10_000  # entities of a model that are followed
KEPT = timedelta(days=7)  # an entity that is silent for longer has been taken out of service
FEWEST = 100  # predictions of an entity before its silence means anything
_LONG = 3  # times the mean: gaps of which a regular sender has at most 1 %
_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIGURES = ("n", "first_us", "last_us", "longest_us", "n_long")
_SCHEMA = pa.schema(
    [pa.field("entity", pa.string()), *(pa.field(name, pa.int64()) for name in _FIGURES)]
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """Predictions of some entities, by entity and time.

    Attributes
    ----------
    names
        Each entity once.
    places : (prediction,)
        Of the entity of each, ascending.
    times : (prediction,)
        Microseconds since 1970, ascending within an entity.
    """

    names: pa.Array
    places: Ints
    times: Ints


def seen(rows: pa.Table) -> Seen | None:
    """Return when each entity was predicted for; None where rows name none."""
    entity = rows["entity"]
    if entity.null_count == len(entity):
        return None
    named = pc.and_(pc.is_valid(entity), pc.not_equal(rows["version"], REFERENCE))
    if not pc.all(named).as_py():
        rows = rows.select(["entity", "at"]).filter(named)
        if not rows.num_rows:
            return None
    texts = rows["entity"].combine_chunks().cast(pa.string()).dictionary_encode()
    codes, at = texts.indices.to_numpy(), micros(rows["at"])
    if len(texts.dictionary) < np.iinfo(np.int16).max:
        codes = codes.astype(np.int16)  # sorted by its digits
    if (at[1:] >= at[:-1]).all():  # as a rule
        order = np.argsort(codes, kind="stable")
    else:
        order = np.lexsort((at, codes))
    return Seen(names=texts.dictionary, places=codes[order].astype(np.int64), times=at[order])


def add(session: Session, model_id: UUID, found: Seen) -> None:
    """Add predictions to what is known of their entities; of new ones, as many as fit."""
    row = session.get(EntityState, model_id)
    before = _SCHEMA.empty_table() if row is None else _read(row.payload)
    payload = _written(_added(before, found))
    if row is None:
        session.add(EntityState(model_id=model_id, payload=payload))
    else:
        row.payload = payload


def _added(before: pa.Table, found: Seen) -> pa.Table:
    """Return what is known with the predictions that are newer than all before them."""
    at = pc.index_in(found.names, before["entity"].combine_chunks())
    place = pc.fill_null(at, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    new = np.flatnonzero(place < 0)[: max(MOST - before.num_rows, 0)]
    place[new] = before.num_rows + np.arange(new.size)
    names = pa.concat_arrays(
        [before["entity"].combine_chunks(), found.names.take(pa.array(new))]
    )
    n, first, last, longest, n_long = (
        np.concatenate([before[name].to_numpy(), np.zeros(new.size, np.int64)])
        for name in _FIGURES
    )
    is_known = n > 0
    where, times = place[found.places], found.times
    counts = (where >= 0) & ~(is_known[where] & (times <= last[where]))
    where, times = where[counts], times[counts]
    starts = np.flatnonzero(np.diff(where, prepend=-1))
    own = where[starts]
    gaps = np.diff(times, prepend=0)
    gaps[starts] = np.where(is_known[own], times[starts] - last[own], 0)
    first[own] = np.where(is_known[own], first[own], times[starts])
    np.add.at(n, where, 1)
    np.maximum.at(last, where, times)
    np.maximum.at(longest, where, gaps)
    mean = (last - first) / np.maximum(n - 1, 1)
    np.add.at(n_long, where, gaps > _LONG * mean[where])
    return pa.table([names, n, first, last, longest, n_long], schema=_SCHEMA)


def silent(
    session: Session, model_id: UUID, watermark: datetime
) -> tuple[list[SilentEntity], int]:
    """Return the entities that have fallen silent, and how many are followed."""
    row = session.get(EntityState, model_id)
    if row is None:
        return [], 0
    known = _read(row.payload)
    n, _, last, longest, n_long = (known[name].to_numpy() for name in _FIGURES)
    now = (watermark - _EPOCH) // _US
    params = SilenceParams()
    limit = params.longer * longest + 1e6 * params.least_seconds
    is_regular = (n >= FEWEST) & (100 * n_long <= n)
    gone = is_regular & (now - last > limit) & (now - last < KEPT // _US)
    places = np.flatnonzero(gone)[np.argsort(last[gone], kind="stable")]
    names = known["entity"].take(pa.array(places)).to_pylist()
    found = [
        SilentEntity(entity=name, last_at=_EPOCH + int(at) * _US)
        for name, at in zip(names, last[places], strict=True)
    ]
    return found, known.num_rows


def forget(session: Session, model_id: UUID, names: Collection[str]) -> None:
    """Delete what is known of some entities."""
    row = session.get(EntityState, model_id)
    if row is not None and names:
        known = _read(row.payload)
        kept = pc.invert(pc.is_in(known["entity"], value_set=pa.array(sorted(names))))
        row.payload = _written(known.filter(kept))


def names(session: Session, model_id: UUID) -> list[str]:
    """Return the entities that are followed."""
    row = session.get(EntityState, model_id)
    return [] if row is None else [*map(str, _read(row.payload)["entity"].to_pylist())]


def _read(payload: bytes) -> pa.Table:
    return pa.ipc.open_stream(payload).read_all()


def _written(known: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCHEMA) as writer:
        writer.write_table(known)
    return bytes(sink.getvalue().to_pybytes())
