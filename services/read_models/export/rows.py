"""Predictions by filter, in batches: event day by event day, and then the inbox."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.arrays import Floats
from core.schema import task
from core.schema.contract import Contract
from core.schema.rows import NUMBERS, TIME, Kind, label_schema, schema
from lake.search import Within, loose
from services.ingest.formats.columns import even_lists
from services.read_models.export.deduplicate import Firsts
from services.read_models.lookup.labels import Labelled, about, match
from services.read_models.lookup.query import Query
from services.read_models.lookup.rows import most_at_once
from services.read_models.lookup.snapshot import State, conform

_DAY = timedelta(days=1, microseconds=-1)


def columns(contract: Contract, *, with_labels: bool) -> pa.Schema:
    """Return the columns of an export: those of the log, and those of the label.

    Parameters
    ----------
    contract
        Of the model.
    with_labels
        Whether to add `actual`, `error` of numbers, and `label_arrived_at`.
    """
    fields = [*loose(schema(Kind.PREDICTIONS, contract))]
    if with_labels:
        actual = label_schema(contract).field("actual").type
        fields.append(pa.field("actual", actual))
        if not task.of(contract).compares_lists:
            fields.append(pa.field("error", actual))
        fields.append(pa.field("label_arrived_at", TIME))
    return pa.schema(fields)


def batches(state: State, query: Query, *, with_labels: bool) -> Iterator[pa.Table]:
    """Yield the predictions that match, each id of a day once.

    Parameters
    ----------
    state
        Where they are.
    query
        Which ones.
    with_labels
        Whether to add what happened.
    """
    firsts = Firsts(state)
    for rows in _matching(state, query, firsts):
        kept = firsts.of(rows)
        if not kept.num_rows:
            continue
        if with_labels or query.labelled is not None:
            yield from _labelled(state, query, kept, with_labels=with_labels)
        else:
            yield kept


def _matching(state: State, query: Query, firsts: Firsts) -> Iterator[pa.Table]:
    wanted = loose(schema(Kind.PREDICTIONS, state.contract))
    span, is_wanted = query.within, query.rows(state.key)
    for day in reversed(state.lake.days):
        midnight = datetime.combine(day, time(), UTC)
        first, last = max(span.first, midnight), min(span.last, midnight + _DAY)
        if first <= last:
            firsts.forget(day)
            within = Within(first=first, last=last)
            for rows in state.lake.stream(is_wanted, wanted.names, within):
                yield conform(rows, wanted)
    for rows in state.predictions.tables():
        yield rows.filter(is_wanted & span.rows)


def _labelled(
    state: State, query: Query, rows: pa.Table, *, with_labels: bool
) -> Iterator[pa.Table]:
    labels, most = about(state, rows), most_at_once(state.contract)
    for start in range(0, rows.num_rows, most):
        some = rows.slice(start, most)
        found = match(state.contract, some, labels)
        if with_labels:
            some = _joined(some, found, state.contract)
        if query.labelled is not None:
            is_in = [(at is not None) == query.labelled for at in found.arrived]
            some = some.filter(pa.array(is_in, pa.bool_()))
        if some.num_rows:
            yield some


def _joined(rows: pa.Table, found: Labelled, contract: Contract) -> pa.Table:
    arrived = pa.array(found.arrived, TIME)
    if task.of(contract).compares_lists:
        wanted = label_schema(contract).field("actual").type
        labels = found.matched.labels
        column = pa.nulls(rows.num_rows, wanted) if labels is None else labels.cast(wanted)
        rows = rows.append_column("actual", column)
        return rows.append_column("label_arrived_at", arrived)
    missing = pc.is_null(arrived)
    for name, values in (("actual", found.matched.actual), ("error", found.error)):
        lists = [_lists(values[:, :, i]) for i in range(len(contract.targets))]
        fields = [pa.field(target, NUMBERS) for target in contract.targets]
        column = pa.StructArray.from_arrays(lists, fields=fields, mask=missing)
        rows = rows.append_column(name, column)
    return rows.append_column("label_arrived_at", arrived)


def _lists(values: Floats) -> pa.Array:
    """Return one list a row; null for NaN."""
    flat = np.ascontiguousarray(values).ravel()
    numbers = pa.array(flat, pa.float64(), mask=np.isnan(flat))
    return even_lists(numbers, values.shape[1])
