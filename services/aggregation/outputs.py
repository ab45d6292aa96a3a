"""Summaries of a model's outputs: by target and by horizon bucket.

A forecast belongs to the hour in which it was made: so the hours that a summary
is about are closed with the event day, and no output is counted twice in an hour.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.schema import task
from core.schema.contract import Contract
from core.schema.feature import Feature
from lake.lists import Floats, Ints, child, flags, numbers
from monitors.baselines.segments import keys
from monitors.summaries.summary import Edges, Summary, chunk_index, freeze
from monitors.summaries.values import Column, summarise
from services.aggregation import segments
from tasks import horizon_buckets

ENOUGH = 1_000  # values of each target that edges are taken from
MOST = 100_000  # of them: sorting more takes longer than it is worth


def predicted(rows: pa.Table, contract: Contract) -> pa.Table:
    """Return the rows that carry an output that was served: no failure, no shadow.

    Nor past input: it has no output. Outputs that are compared as lists are not summarised.
    """
    if task.of(contract).compares_lists:
        return rows.slice(0, 0)
    if not rows["output"].null_count and not flags(rows["shadow"]).any():  # as a rule
        return rows
    return rows.filter(pc.and_(pc.is_valid(rows["output"]), pc.invert(rows["shadow"])))


def edges_of(
    rows: pa.Table, contract: Contract, of_input: Edges, *, is_late: bool
) -> Edges | None:
    """Return the edges of a model's outputs, or None to wait for more.

    All parts of a target share theirs. They never change: targets and horizon
    are the same for all versions that share a log.

    Parameters
    ----------
    rows
        From `predicted`; at least one.
    contract
        Names the targets.
    of_input
        A target takes the edges of the feature of its name: what is forecast
        lies where it has been. Others get theirs from their first values.
    is_late
        Wait no longer.
    """
    columns: dict[str, Floats] = {}
    for target in contract.targets:
        if target in of_input.names:  # in twice as many bins
            known = of_input.values[of_input.names.index(target)]
            own = known[:: (known.size - 1) // horizon_buckets.BINS]
        else:
            values = _values(rows, target)
            if values.size < ENOUGH and not is_late:
                return None
            some = values[:: values.size // MOST + 1]
            own = freeze({target: some}, bins=horizon_buckets.BINS).values[0]
        columns |= dict.fromkeys(horizon_buckets.names((target,), contract.horizon), own)
    return Edges(names=(*columns,), values=np.array([*columns.values()]))


def summarise_outputs(rows: pa.Table, at: Ints, contract: Contract, edges: Edges) -> Summary:
    """Summarise outputs.

    Parameters
    ----------
    rows
        From `predicted`; with places, from `services.aggregation.segments.place`, by segment.
    at : (row,)
        When each was made, in microseconds since 1970.
    contract
        Has the targets and the horizon.
    edges
        From `edges_of`.

    Returns
    -------
    Summary
        One column for each part of each target. A value repeats the one before
        it in the same forecast.
    """
    hours, places = chunk_index(at), segments.of(rows)
    if places is not None:
        hours = keys(hours, places)
    order = None
    if (hours[1:] < hours[:-1]).any():  # rows are put in order once, not every column
        order = np.argsort(hours, kind="stable")
        hours = hours[order]
    parts = horizon_buckets.parts(contract.horizon)
    chunks = {width: np.repeat(hours, width) for width in {p.stop - p.start for p in parts}}
    columns = []
    for target in contract.targets:
        forecasts = _values(rows, target).reshape(len(hours), contract.horizon)
        if order is not None:
            forecasts = forecasts[order]
        again = np.zeros(forecasts.shape, dtype=np.bool_)
        np.equal(forecasts[:, 1:], forecasts[:, :-1], out=again[:, 1:])
        columns += [
            Column(
                values=forecasts[:, part].ravel(),
                chunks=chunks[part.stop - part.start],
                repeats=again[:, part].ravel(),
            )
            for part in parts
        ]
    return summarise(columns, edges)


def described(contract: Contract) -> Contract:
    """Return the contract as if the parts of its targets were its features."""
    units = {feature.name: feature.unit for feature in contract.features}
    parts = tuple(
        Feature(name=name, unit=units.get(target, ""))
        for target in contract.targets
        for name in horizon_buckets.names((target,), contract.horizon)
    )
    return replace(contract, features=parts, scaler={}, segment_by="")


def _values(rows: pa.Table, target: str) -> Floats:
    return numbers(pc.list_flatten(child(rows["output"], target)))
