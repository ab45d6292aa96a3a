"""When each input of each entity had its last value, and its last other value.

Kept in arrays beside the entities (`services.aggregation.entities`), in their order: as many
entities as fit into the bound of cells. A value is kept as a hash of 32 bits.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lake.lists import Floats, Ints, fields, last_numbers, singles
from lake.streams import read_stream, write_stream
from monitors.data_quality.entity_health import FEWEST, learnt
from monitors.summaries.runs import run_lengths, run_starts, steps
from monitors.summaries.summary import Bools

MOST_CELLS = 200_000  # inputs x entities of a model: 20 inputs of 10,000 entities
_US = 1_000_000
_MANY = 65_535  # counts end there
_AT_ONCE = 16_384  # values that are followed in one go: the processor keeps them close at hand
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
_SCHEMA = pa.schema([(name, pa.from_numpy_dtype(of)) for name, of in _FIGURES.items()])
_COMPACT = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Values:
    """The newest value of each input in some predictions.

    Attributes
    ----------
    inputs
        The names.
    numbers : (input, prediction)
        NaN or infinite where there is none.
    """

    inputs: tuple[str, ...]
    numbers: Floats


def values(rows: pa.Table, inputs: tuple[str, ...], order: Ints) -> Values:
    """Return what each prediction has, in an order: of a list of steps the last."""
    lists = fields(rows, "features")
    whole = singles([lists[name] for name in inputs]) if lists.keys() >= {*inputs} else None
    if whole is not None:
        return Values(inputs=inputs, numbers=whole[:, order])
    found = np.full((len(inputs), len(order)), np.nan)
    for i, name in enumerate(inputs):
        if name in lists:
            found[i] = last_numbers(lists[name])[order]
    return Values(inputs=inputs, numbers=found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """The state of each input of each entity; every figure is (input, entity)."""

    inputs: tuple[str, ...]
    figures: dict[str, Ints]

    @property
    def n_entities(self) -> int:
        """Of how many entities."""
        return int(self.figures["value"].shape[1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Runs:
    """Moments of some entities, those of one together and in order.

    Attributes
    ----------
    own, starts, n : (entity,)
        Its place, where its moments begin, and how many they are.
    first, last, widest : (entity,)
        The first and the last moment, and the longest time between two, in seconds.
    """

    own: Ints
    starts: Ints
    n: Ints
    first: Ints
    last: Ints
    widest: Ints


def _runs(places: Ints, seconds: Ints) -> _Runs:
    starts, gaps = run_starts(places), steps(seconds)
    gaps[starts] = 0
    n = run_lengths(starts, places.size)
    return _Runs(
        own=places[starts],
        starts=starts,
        n=n,
        first=seconds[starts],
        last=seconds[starts + n - 1],
        widest=np.maximum.reduceat(gaps, starts),
    )


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
    numbers, seconds, n = found.numbers, times // _US, cells.n_entities
    if (counts := places >= 0).all():
        pass  # as a rule
    elif counts.any():
        numbers, places, seconds = numbers[:, counts], places[counts], seconds[counts]
    else:
        return
    step = max(_AT_ONCE // places.size, 1)
    for first in range(0, len(numbers), step):
        own = numbers[first : first + step]
        # Each input of each entity is a cell, and those of one input lie together.
        at = places + n * np.arange(len(own))[:, np.newaxis]
        there = np.isfinite(own)
        of = {
            name: figure[first : first + step].reshape(-1)
            for name, figure in cells.figures.items()
        }
        of_cells = np.broadcast_to(settled_at[:n], (len(own), n)).ravel()
        when = np.broadcast_to(seconds, own.shape)
        if there.all():
            _follow(of, at.ravel(), when.ravel(), own.ravel(), of_cells)
        elif there.any():
            _follow(of, at[there], when[there], own[there], of_cells)


def _follow(
    of: dict[str, Ints], places: Ints, seconds: Ints, numbers: Floats, settled_at: Ints
) -> None:
    came = _runs(places, seconds)
    is_new = of["n_values"][came.own] == 0
    has_moved = np.empty(numbers.size, np.bool_)
    has_moved[1:] = numbers[1:] != numbers[:-1]
    first = _hashes(numbers[came.starts])
    has_moved[came.starts] = is_new | (first != of["value"][came.own])
    if has_moved.any():
        moved = _runs(places[has_moved], seconds[has_moved])
        is_first = of["n_values"][moved.own] == 0  # it ends nothing
        _extend(of, moved, ("moved", "still", "n_runs"), is_first, settled_at)
    of["value"][came.own] = _hashes(numbers[came.starts + came.n - 1])
    _extend(of, came, ("seen", "absent", "n_values"), is_new, settled_at)
    # A first value ends no duration, but it is a value.
    of["n_values"][came.own] = np.minimum(of["n_values"][came.own] + is_new, _MANY)


def _hashes(numbers: Floats) -> Ints:
    """Return numbers of 32 bits that are equal where values are equal, as a rule."""
    bits = (numbers + 0.0).view(np.uint64)  # -0.0 is 0.0
    return (bits ^ (bits >> np.uint64(32))).astype(np.uint32).astype(np.int64)


def _extend(
    of: dict[str, Ints],
    runs: _Runs,
    names: tuple[str, str, str],
    is_new: Bools,
    settled_at: Ints,
) -> None:
    """Learn how long it lasted from one moment to the next; the first one of all ends nothing.

    Parameters
    ----------
    of
        The figures of one input, by name.
    runs
        The moments.
    names
        Of the last moment, the longest duration and the count of durations.
    is_new, settled_at
        Of the entities of the runs, and of all.
    """
    last, longest, count = names
    own, fault = runs.own, f"{longest}_fault"
    since = np.where(is_new, runs.first, of[last][own])
    durations = np.maximum(runs.widest, runs.first - since)
    settled = (since >= settled_at[own]) & (of[count][own] >= FEWEST)
    of[longest][own], of[fault][own] = learnt(
        durations, of[longest][own], of[fault][own], settled
    )
    of[count][own] = np.minimum(of[count][own] + runs.n - is_new, _MANY)
    of[last][own] = runs.last


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
    table = None if payload is None else read_stream(payload)
    names = [] if table is None else json.loads(table.schema.metadata[b"inputs"])
    inputs = names if inputs is None else inputs
    kept = kept[: MOST_CELLS // max(len(inputs), 1)]
    n_before = 0 if table is None or not names else table.num_rows // len(names)
    is_same = [*inputs] == names and np.array_equal(kept[:n_before], np.arange(n_before))
    if table is not None and is_same and kept.size == n_before:  # as a rule: no new entity
        stored = {name: table[name].to_numpy().astype(np.int64) for name in _FIGURES}
        figures = {name: of.reshape(len(names), n_before) for name, of in stored.items()}
        figures["seen"] = last[:n_before] - figures["seen"]
        figures["moved"] = figures["seen"] - figures["moved"]
        return Cells(inputs=tuple(inputs), figures=figures)
    figures = {name: np.zeros((len(inputs), kept.size), np.int64) for name in _FIGURES}
    if table is not None and names:
        old = np.flatnonzero((kept >= 0) & (kept < n_before))
        both = np.array([i for i, name in enumerate(inputs) if name in names], np.int64)
        places = np.array([names.index(inputs[i]) for i in both], np.int64)
        of, to = np.ix_(places, kept[old]), np.ix_(both, old)
        for name, figure in figures.items():
            stored_figure = table[name].to_numpy().reshape(len(names), n_before)
            figure[to] = stored_figure[of]
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
    if not is_there.all():
        figures = {name: np.where(is_there, figure, 0) for name, figure in figures.items()}
    schema = _SCHEMA.with_metadata({"inputs": json.dumps(cells.inputs)})
    columns = [pa.array(figures[name].astype(of).ravel()) for name, of in _FIGURES.items()]
    return write_stream(pa.RecordBatch.from_arrays(columns, schema=schema), _COMPACT)
