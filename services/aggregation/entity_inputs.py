"""When each input of each entity had its last value, and its last other value.

Kept in arrays beside the entities (`services.aggregation.entities`), in their order: as many
entities as fit into the bound of cells. A value is kept as a hash of 32 bits.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lake.lists import Ints, last_numbers
from monitors.data_quality.entity_health import FEWEST, learnt
from monitors.summaries.summary import Bools

MOST_CELLS = 200_000  # inputs x entities of a model: 20 inputs of 10,000 entities
_US = 1_000_000
_MANY = 65_535  # counts end there
# Seconds since 1970 of the last value and the last movement; the longest without, and the
# longest that was a fault.
_FIGURES = {
    "value": np.uint32,
    "seen": np.uint32,
    "moved": np.uint32,
    "absent": np.uint32,
    "still": np.uint32,
    "absent_fault": np.uint32,
    "still_fault": np.uint32,
    "n_values": np.uint16,
    "n_runs": np.uint16,
}
_COMPACT = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Values:
    """The newest value of each input in some predictions.

    Attributes
    ----------
    inputs
        The names.
    hashes, are_there : (input, prediction)
        Equal where values are equal, as a rule; and whether there is one.
    """

    inputs: tuple[str, ...]
    hashes: Ints
    are_there: Bools


def values(rows: pa.Table, inputs: tuple[str, ...], order: Ints) -> Values:
    """Return what each prediction has, in an order: of a list of steps the last."""
    found = np.empty((len(inputs), len(order)))
    for i, name in enumerate(inputs):
        found[i] = last_numbers(rows, "features", name)[order]
    bits = (found + 0.0).view(np.uint64)  # -0.0 is 0.0
    hashes = (bits ^ (bits >> np.uint64(32))).astype(np.uint32).astype(np.int64)
    return Values(inputs=inputs, hashes=hashes, are_there=np.isfinite(found))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """The state of each input of each entity; every figure is (input, entity)."""

    inputs: tuple[str, ...]
    figures: dict[str, Ints]

    @property
    def n_entities(self) -> int:
        """Of how many entities."""
        return int(self.figures["value"].shape[1])


def follow(cells: Cells, found: Values, places: Ints, times: Ints, settled_at: Ints) -> None:
    """Add predictions to the state of their entities, in place.

    Parameters
    ----------
    cells
        With a place for each input of the predictions.
    found
        Values.
    places : (prediction,)
        Of the entity of each, those of one together; below 0: none.
    times : (prediction,)
        Microseconds since 1970, ascending within an entity, after all before.
    settled_at : (entity,)
        From when on, in seconds, what begins is evaluated: then a fault is not learnt in full.
    """
    seconds = times // _US
    for i in range(len(found.inputs)):
        counts = np.flatnonzero(found.are_there[i] & (places >= 0))
        if counts.size:
            of_input = {name: figure[i] for name, figure in cells.figures.items()}
            _follow(
                of_input, places[counts], seconds[counts], found.hashes[i, counts], settled_at
            )


def _follow(
    of: dict[str, Ints], places: Ints, seconds: Ints, hashes: Ints, settled_at: Ints
) -> None:
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    own, ends = places[starts], np.append(starts[1:], places.size) - 1
    is_new = of["n_values"][own] == 0
    first = np.where(is_new, seconds[starts], of["seen"][own])
    gaps = np.maximum.reduceat(seconds - _before(seconds, starts, first), starts)
    settled = (first >= settled_at[own]) & (of["n_values"][own] >= FEWEST)
    of["absent"][own], of["absent_fault"][own] = learnt(
        gaps, of["absent"][own], of["absent_fault"][own], settled
    )
    has_moved = hashes != _before(hashes, starts, of["value"][own])
    has_moved[starts[is_new]] = True
    at = np.flatnonzero(has_moved)
    if at.size:
        _move(of, places[at], seconds[at], settled_at)
    of["seen"][own], of["value"][own] = seconds[ends], hashes[ends]
    of["n_values"][own] = np.minimum(of["n_values"][own] + ends - starts + 1, _MANY)


def _move(of: dict[str, Ints], places: Ints, seconds: Ints, settled_at: Ints) -> None:
    """Add the moments at which values have moved; the first one of all ends nothing."""
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    own, ends = places[starts], np.append(starts[1:], places.size) - 1
    is_new = of["n_values"][own] == 0
    first = np.where(is_new, seconds[starts], of["moved"][own])
    runs = np.maximum.reduceat(seconds - _before(seconds, starts, first), starts)
    settled = (first >= settled_at[own]) & (of["n_runs"][own] >= FEWEST)
    of["still"][own], of["still_fault"][own] = learnt(
        runs, of["still"][own], of["still_fault"][own], settled
    )
    n_runs = of["n_runs"][own] + ends - starts + 1 - is_new
    of["moved"][own], of["n_runs"][own] = seconds[ends], np.minimum(n_runs, _MANY)


def _before(values: Ints, starts: Ints, first: Ints) -> Ints:
    """Return the value before each one, of the same entity."""
    before = np.empty_like(values)
    before[1:] = values[:-1]
    before[starts] = first
    return before


def read(payload: bytes | None, inputs: Sequence[str] | None, last: Ints, kept: Ints) -> Cells:
    """Read the state of some inputs and entities; zeros where it has none.

    Parameters
    ----------
    payload
        As `written` returned it.
    inputs
        The names; those that are not among them are left out. None: all that it has.
    last : (entity before,)
        The newest prediction of each, in seconds.
    kept : (entity,)
        The place of each entity before; below 0: it is new.
    """
    table = None if payload is None else pa.ipc.open_stream(payload).read_all()
    names = [] if table is None else json.loads(table.schema.metadata[b"inputs"])
    inputs = names if inputs is None else inputs
    kept = kept[: MOST_CELLS // max(len(inputs), 1)]
    figures = {name: np.zeros((len(inputs), kept.size), np.int64) for name in _FIGURES}
    if table is not None and names:
        n_before = table.num_rows // len(names)
        old = np.flatnonzero((kept >= 0) & (kept < n_before))
        is_same = [*inputs] == names and np.array_equal(kept[:n_before], np.arange(n_before))
        both = np.array([i for i, name in enumerate(inputs) if name in names], np.int64)
        places = np.array([names.index(inputs[i]) for i in both], np.int64)
        of, to = np.ix_(places, kept[old]), np.ix_(both, old)
        for name, figure in figures.items():
            stored = table[name].to_numpy().reshape(len(names), n_before)
            if is_same:  # as a rule
                figure[:, :n_before] = stored
            else:
                figure[to] = stored[of]
        newest = np.zeros(kept.size, np.int64)
        newest[old] = last[kept[old]]
        figures["seen"] = newest - figures["seen"]
        figures["moved"] = figures["seen"] - figures["moved"]
    return Cells(inputs=tuple(inputs), figures=figures)


def written(cells: Cells, last: Ints) -> bytes:
    """Return the state as bytes, with times as ages; `last` is of each entity, in seconds."""
    figures = dict(cells.figures)
    figures["moved"] = cells.figures["seen"] - cells.figures["moved"]
    figures["seen"] = last[: cells.n_entities] - cells.figures["seen"]
    is_there = cells.figures["n_values"] > 0
    columns = {
        name: pa.array(np.where(is_there, figures[name], 0).astype(of).ravel())
        for name, of in _FIGURES.items()
    }
    table = pa.table(columns).replace_schema_metadata({"inputs": json.dumps(cells.inputs)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_COMPACT) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())
