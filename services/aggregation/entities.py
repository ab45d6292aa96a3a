"""When the predictions of each entity were made, and what its inputs did.

All entities of a model are one row: it is read and written with each fold, in arrays. Beyond
the bound those are left out that were seen least recently.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from core.schema.rows import REFERENCE
from db.queries.upsert import upsert
from db.tables import EntityState
from lake.lists import Ints, differ, flags, micros
from lake.streams import read_stream, write_stream
from monitors.data_quality.entity_health import SETTLED_SECONDS, EntityInputs
from monitors.slo.silence import SilenceParams, SilentEntity
from monitors.summaries.runs import run_lengths, run_starts, steps
from services.aggregation import entity_inputs
from services.aggregation.entity_inputs import Values

MOST = 10_000  # entities of a model that are followed
KEPT = timedelta(days=7)  # an entity that is silent for longer has been taken out of service
FEWEST = 100  # predictions of an entity before its silence means anything
_LONG = 3  # times the mean: gaps of which a regular sender has at most 1 %
_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Longer is an outage, or lies between an import and the first live row: it is not learnt.
_LONGEST_US = KEPT // (4 * _US)
_SECOND_US = 1_000_000
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
    values
        Of their inputs, in this order.
    """

    names: pa.Array
    places: Ints
    times: Ints
    values: Values


def seen(rows: pa.Table, inputs: tuple[str, ...]) -> Seen | None:
    """Return when each entity was predicted for, from what; None where rows name none."""
    entity = rows["entity"]
    if entity.null_count == len(entity):
        return None
    named = differ(rows["version"], REFERENCE)
    if entity.null_count:
        named = named & flags(pc.is_valid(entity))
    if not named.all():
        rows = rows.select(["entity", "at", "received_at", "features"]).filter(pa.array(named))
        if not rows.num_rows:
            return None
    texts = rows["entity"].combine_chunks().cast(pa.string()).dictionary_encode()
    # A clock that is fast moves an entity no further than to the arrival of its row.
    codes, at = (
        texts.indices.to_numpy(),
        np.minimum(micros(rows["at"]), micros(rows["received_at"])),
    )
    if len(texts.dictionary) < np.iinfo(np.int16).max:
        codes = codes.astype(np.int16)  # sorted by its digits
    if (at[1:] >= at[:-1]).all():  # as a rule
        order = np.argsort(codes, kind="stable")
    else:
        order = np.lexsort((at, codes))
    return Seen(
        names=texts.dictionary,
        places=codes[order].astype(np.int64),
        times=at[order],
        values=entity_inputs.values(rows, inputs, order),
    )


_STORED = select(EntityState.model_id, EntityState.payload, EntityState.inputs).where(
    EntityState.model_id.in_(bindparam("model_ids", expanding=True))
)


def add(session: Session, found: Mapping[UUID, Seen]) -> None:
    """Add predictions to what is known of their entities, by model."""
    session.flush()  # what was forgotten
    rows = session.connection().execute(_STORED, {"model_ids": [*found]}).all() if found else []
    stored = {model_id: (payload, inputs) for model_id, payload, inputs in rows}
    new = []
    for model_id, seen in sorted(found.items(), key=itemgetter(0)):
        payload, inputs = _with(stored.get(model_id), seen)
        new.append({"model_id": model_id, "payload": payload, "inputs": inputs})
    upsert(session, EntityState, new)


def _with(stored: tuple[bytes, bytes] | None, found: Seen) -> tuple[bytes, bytes]:
    """Return what is stored of entities and of their inputs, with predictions added."""
    payload, inputs = (None, None) if stored is None else stored
    before = _SCHEMA.empty_table() if payload is None else read_stream(payload)
    names, figures, kept, places = _added(before, found)
    cells = entity_inputs.read(inputs, found.values.inputs, _seconds(before, "last_us"), kept)
    places = np.where(places < cells.n_entities, places, -1)
    settled_at = figures["first_us"] // _SECOND_US + SETTLED_SECONDS
    entity_inputs.follow(cells, found.values, places, found.times, settled_at)
    written = _written([names, *map(pa.array, figures.values())])
    return written, entity_inputs.written(cells, figures["last_us"] // _SECOND_US)


def _added(before: pa.Table, found: Seen) -> tuple[pa.Array, dict[str, Ints], Ints, Ints]:
    """Add the predictions that are newer than all before them.

    Returns
    -------
    names, figures
        Of the entities: of too many, those that were seen last.
    kept : (entity,)
        The place that each had before; -1 of a new one.
    places : (prediction,)
        Of its entity; -1 where it does not count.
    """
    n_before, names = before.num_rows, before["entity"].combine_chunks()
    at = pc.index_in(found.names, names)
    place = (at.fill_null(-1) if at.null_count else at).to_numpy().astype(np.int64)
    figures = [before[name].to_numpy().copy() for name in _FIGURES]
    if at.null_count:
        new = np.flatnonzero(place < 0)
        place[new] = n_before + np.arange(new.size)
        names = pa.concat_arrays([names, found.names.take(pa.array(new))])
        figures = [np.append(of, np.zeros(new.size, np.int64)) for of in figures]
    n, first, last, longest, n_long = figures
    is_known = n > 0
    where, times = place[found.places], found.times
    counts = ~(is_known[where] & (times <= last[where]))
    of_all = np.where(counts, where, -1)
    where, times = where[counts], times[counts]
    starts, gaps = run_starts(where), steps(times)
    own, of_own = where[starts], run_lengths(starts, where.size)
    gaps[starts] = np.where(is_known[own], times[starts] - last[own], 0)
    first[own] = np.where(is_known[own], first[own], times[starts])
    n[own] += of_own
    last[own] = np.maximum(last[own], times[starts + of_own - 1])
    learnt = np.where(gaps > _LONGEST_US, 0, gaps)
    longest[own] = np.maximum(longest[own], np.maximum.reduceat(learnt, starts))
    mean = (last[own] - first[own]) / np.maximum(n[own] - 1, 1)
    is_long = gaps > _LONG * np.repeat(mean, of_own)
    n_long[own] += np.add.reduceat(is_long, starts, dtype=np.int64)
    after = dict(zip(_FIGURES, figures, strict=True))
    if n.size <= MOST:
        own = np.arange(n.size)
        own[n_before:] = -1
        return names, after, own, of_all
    kept = np.sort(np.argsort(last, kind="stable")[-MOST:])
    moved = np.full(n.size + 1, -1)
    moved[kept] = np.arange(kept.size)
    after = {name: figure[kept] for name, figure in after.items()}
    return names.take(pa.array(kept)), after, np.where(kept < n_before, kept, -1), moved[of_all]


def silent(row: EntityState | None, watermark: datetime) -> tuple[list[SilentEntity], int]:
    """Return the entities that have fallen silent, and how many are followed."""
    if row is None:
        return [], 0
    known = read_stream(row.payload)
    n, _, last, longest, n_long = (known[name].to_numpy() for name in _FIGURES)
    now = (watermark - _EPOCH) // _US
    params = SilenceParams()
    limit = params.longer * longest + params.at_least / _US
    is_regular = (n >= FEWEST) & (100 * n_long <= n)
    gone = is_regular & (now - last > limit) & (now - last < KEPT // _US)
    places = np.flatnonzero(gone)[np.argsort(last[gone], kind="stable")]
    names = known["entity"].take(pa.array(places)).to_pylist()
    found = [
        SilentEntity(entity=name, last_at=_EPOCH + int(at) * _US)
        for name, at in zip(names, last[places], strict=True)
    ]
    return found, known.num_rows


def inputs(row: EntityState | None) -> EntityInputs | None:
    """Return what the inputs of each entity do; None where no prediction names one."""
    if row is None:
        return None
    known = read_stream(row.payload)
    last = _seconds(known, "last_us")
    cells = entity_inputs.read(row.inputs, None, last, np.arange(known.num_rows))
    of, n = cells.figures, cells.n_entities
    return EntityInputs(
        inputs=cells.inputs,
        entities=known["entity"][:n].to_pylist(),
        first=_seconds(known, "first_us")[:n],
        last=last[:n],
        absent=last[:n] - of["seen"],
        still=of["seen"] - of["moved"],
        longest_absent=of["absent"],
        longest_still=of["still"],
        n_values=of["n_values"],
        n_runs=of["n_runs"],
    )


def forget(session: Session, model_id: UUID, names: Collection[str]) -> None:
    """Delete what is known of some entities."""
    row = session.get(EntityState, model_id)
    if row is not None and names:
        known = read_stream(row.payload)
        is_gone = pc.is_in(known["entity"], value_set=pa.array(sorted(names)))
        kept, last = np.flatnonzero(~is_gone.to_numpy()), _seconds(known, "last_us")
        remaining = known.take(pa.array(kept))
        row.payload = _written([column.combine_chunks() for column in remaining.columns])
        row.inputs = entity_inputs.written(
            entity_inputs.read(row.inputs, None, last, kept), last[kept]
        )


def names(session: Session, model_id: UUID) -> list[str]:
    """Return the entities that are followed."""
    row = session.get(EntityState, model_id)
    return [] if row is None else [*map(str, read_stream(row.payload)["entity"].to_pylist())]


def _seconds(known: pa.Table, name: str) -> Ints:
    found: Ints = known[name].to_numpy() // _SECOND_US
    return found


def _written(columns: list[pa.Array]) -> bytes:
    return write_stream(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))
