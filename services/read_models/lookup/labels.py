"""Labels of predictions, across inbox and lake."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from core.arrays import Floats
from core.schema import task
from core.schema.contract import Contract
from core.schema.rows import Kind, label_schema
from core.schema.task import Matched
from lake import labels
from lake.labels import Labels, Tables
from lake.matching import outputs
from lake.search import loose
from lake.tables import stamped
from services.read_models.lookup.snapshot import State, conform
from tasks.sums import units

log = logging.getLogger(__name__)

_EPOCH, _US = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """Predictions beside their labels.

    Attributes
    ----------
    matched
        As the task compares them.
    arrived : (prediction,)
        When the last of its labels came in; None before the first.
    """

    matched: Matched
    arrived: list[datetime | None]

    @property
    def error(self) -> Floats:
        """Predicted less actual, (prediction, step, target); NaN where either is missing."""
        return self.matched.predicted - self.matched.actual

    def losses(self, contract: Contract) -> list[float | None]:
        """Return the loss of each prediction by the task, in natural units; None of none."""
        of = task.of(contract)
        if not self.arrived:
            return []
        try:
            scored = task.scored(contract, units({}, contract), self.matched)
        except Exception:  # of one task: its rows are readable all the same
            log.exception("task %s: losses cannot be shown", of.name)
            return [None] * len(self.arrived)
        n = np.asarray(scored.labelled, dtype=float).sum(axis=(1, 2))
        loss = scored.loss.sum(axis=(1, 2)) * of.n_summed(contract)
        return [float(a / b) if b else None for a, b in zip(loss, n, strict=True)]


def match(contract: Contract, rows: pa.Table, tables: Tables) -> Labelled:
    """Find what happened for some predictions; the label that arrived last counts."""
    if task.of(contract).compares_lists:
        found, none = Labels(contract, rows, tables).lists(), np.empty((rows.num_rows, 0, 0))
        of_rows = None if found is None else found[0]
        last = np.full(rows.num_rows, labels.NEVER) if found is None else found[1]
        matched = Matched(rows=rows, predicted=none, actual=none, naive=none, labels=of_rows)
    else:
        actual, arrived = Labels(contract, rows, tables).values()
        last = arrived.max(axis=(1, 2), initial=labels.NEVER)
        naive = np.full(actual.shape, np.nan)
        predicted = outputs(rows, contract)
        matched = Matched(rows=rows, predicted=predicted, actual=actual, naive=naive)
    moments = [None if at == labels.NEVER else _EPOCH + int(at) * _US for at in last]
    return Labelled(matched=matched, arrived=moments)


def about(state: State, rows: pa.Table) -> Tables:
    """Return the labels that may be about some predictions, in the lake or waiting.

    Parameters
    ----------
    state
        Where they are.
    rows
        Best of one day: labels are read for all of their span.
    """
    contract, window = state.contract, labels.span(state.contract, rows)
    found = labels.read(state.log, contract, rows, window)
    declared = label_schema(contract)
    for waiting in state.labels.tables():
        there = stamped(Kind.LABELS, contract, waiting)
        for key in sorted(task.of(contract).keys):
            columns = loose(pa.schema([declared.field(name) for name in labels.columns(key)]))
            some = there.filter(labels.wanted(key, rows, window, there.column_names))
            if some.num_rows:
                kept = [found[key]] if key in found else []
                both = [conform(each, columns) for each in (*kept, some.select(columns.names))]
                found[key] = pa.concat_tables(both)
    return found
