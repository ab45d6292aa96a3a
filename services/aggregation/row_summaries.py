"""Summaries of the rows of a group; no database is read or written."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.schema.contract import Contract
from core.schema.feature import Dtype, Feature, Sensitivity
from core.schema.rows import NUMBERS, REFERENCE
from lake.lists import (
    Flat,
    Floats,
    Ints,
    fields,
    flags,
    flatten,
    flatten_codes,
    flatten_lists,
    micros,
    singles,
)
from monitors.baselines.segments import SLOTS, keys, total
from monitors.summaries import categories
from monitors.summaries.grains import HISTORY, rolled_up, without_counts
from monitors.summaries.summary import Edges, Summary, empty, freeze
from monitors.summaries.values import Column, repeats, summarise
from services.aggregation import outputs, segments, serving, window_profiles
from services.aggregation.folded import Frozen, Part

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR, _US = timedelta(hours=1), timedelta(microseconds=1)
ENOUGH = 1_000  # values of each feature that edges are taken from


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
        Names features and targets, and the field that defines segments.
    is_late
        Wait no longer.
    """
    of_input = input_edges(before.input, rows, contract, is_late=is_late)
    if of_input is None:
        return None
    of_output = before.output
    if of_output is None and (predictions := outputs.predicted(rows, contract)).num_rows:
        of_output = outputs.edges_of(predictions, contract, of_input, is_late=is_late)
        if of_output is None:
            return None
    names = segments.grown(_served_rows(rows), contract, before.names)
    return Frozen(
        input=of_input, output=of_output, window_profile=before.window_profile, names=names
    )


def _served_rows(rows: pa.Table) -> pa.Table:
    shadow = rows["shadow"]
    return rows.filter(pc.invert(shadow)) if flags(shadow).any() else rows


def with_window_profile(
    grown: Frozen, rows: pa.Table, contract: Contract, busy: float
) -> Frozen:
    """Add the layout of what is kept of the inside of rows."""
    assert grown.input is not None
    layout = window_profiles.grown(grown.window_profile, rows, contract, grown.input, busy)
    return replace(grown, window_profile=layout)


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
    they were served to nobody.
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
        fine, grains = _input(own, at, contract, of_input), None
        if contract.grain < HOUR:
            whole = total(fine) if contract.segment_by else fine
            grains = without_counts(whole, contract.grain, _newest(own) - HISTORY)
            slots = SLOTS if contract.segment_by else 1
            fine = rolled_up(fine, contract.grain, slots)
        parts.append(
            _apart(
                Part(
                    version=version,
                    input=fine,
                    output=_output(own, contract, edges.output),
                    window_profile=window_profiles.summarise_window_profiles(
                        own, version, contract, edges.window_profile
                    ),
                    cells={} if version == REFERENCE else serving.count(own, at),
                    grains=grains,
                ),
                contract,
            )
        )
    return parts


def _apart(part: Part, contract: Contract) -> Part:
    """Add up what was summarised by segment: values are read once."""
    if not contract.segment_by:
        return part
    return replace(
        part,
        input=total(part.input),
        output=None if part.output is None else total(part.output),
        by_segment=part.input,
        outputs_by_segment=part.output,
    )


def _output(rows: pa.Table, contract: Contract, edges: Edges | None) -> Summary | None:
    predictions = outputs.predicted(rows, contract)
    if edges is None or not predictions.num_rows:
        return None
    return outputs.summarise_outputs(predictions, micros(predictions["at"]), contract, edges)


def _input(rows: pa.Table, at: Ints, contract: Contract, edges: Edges) -> Summary:
    if not edges.names:
        return empty(0, edges.values.shape[-1] + 1)
    step = contract.step_us
    of_texts = {f.name: _places(f) for f in contract.kept if f.dtype is Dtype.CATEGORY}
    columns: list[Column] = []
    before: Flat | None = None
    lists, none = fields(rows, "features"), pa.nulls(rows.num_rows, NUMBERS)
    numbers = [name for name in edges.names if name not in of_texts]
    whole = singles([lists.get(name, none) for name in numbers])
    of_one = {} if whole is None else dict(zip(numbers, whole, strict=True))
    places, single = segments.of(rows), np.zeros(at.size, np.bool_)
    width = min(contract.grain, HOUR) // _US
    chunks = by_row = at // width if places is None else keys(at // width, places)
    for name in edges.names:
        if name in of_one:
            columns.append(Column(values=of_one[name], chunks=by_row, repeats=single))
            continue
        if name in of_texts:
            flat = flatten_codes(rows, "features", name, of_texts[name])
        else:
            flat = flatten_lists(lists.get(name, none))
        is_single = flat.is_single
        if is_single:
            chunks = by_row
        elif before is None or not np.array_equal(flat.lengths, before.lengths):
            chunks = (at[flat.rows] - flat.back * step) // width
            if places is not None:
                chunks = keys(chunks, places[flat.rows])
        before = flat
        columns.append(
            Column(
                values=flat.values,
                chunks=chunks,
                repeats=single if is_single else repeats(flat.values, flat.steps == 0),
            )
        )
    return summarise(columns, edges)


def _newest(rows: pa.Table) -> datetime:
    """Return when the last of some rows was received: grains of history are not kept."""
    return _EPOCH + int(micros(rows["received_at"]).max()) * _US


def _places(feature: Feature) -> tuple[str, ...]:
    """Return the texts that are counted by their place; those of a hash are not known."""
    return () if feature.sensitivity is Sensitivity.HASH else feature.vocabulary
