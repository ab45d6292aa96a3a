"""Labels of predictions, across inbox and lake."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.arrays import Floats, Ints
from core.schema import task
from core.schema.contract import Contract
from core.schema.rows import Kind, label_schema
from core.schema.task import Matched
from core.window import Window
from lake.matching import (
    actuals_by_entity,
    actuals_by_id,
    latest,
    latest_lists,
    outputs,
    places_of,
    target_times,
)
from lake.search import loose
from lake.tables import stamped
from services.read_models.lookup.snapshot import State, conform
from tasks.sums import units

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_NEVER = np.iinfo(np.int64).min
_BY_ENTITY = ["entity", "target_at", "actual", "arrived_at", "received_at"]
_BY_ID = ["prediction_id", "actual", "arrived_at", "received_at"]


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
        scored = of.score(contract, units({}, contract), self.matched)
        n = np.asarray(scored.labelled, dtype=float).sum(axis=(1, 2))
        loss = scored.loss.sum(axis=(1, 2)) * of.n_summed(contract)
        return [float(a / b) if b else None for a, b in zip(loss, n, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """The labels that may be about some predictions: by entity and time, and by id."""

    by_entity: pa.Table
    by_id: pa.Table


def match(contract: Contract, rows: pa.Table, labels: Labels) -> Labelled:
    """Find what happened for some predictions; the label that arrived last counts."""
    if task.of(contract).compares_lists:
        return _lists(rows, labels)
    shape = (rows.num_rows, contract.horizon, len(contract.targets))
    known = (np.full(shape, np.nan), np.full(shape, _NEVER))
    if labels.by_entity.num_rows:
        entities = pc.unique(rows["entity"]).drop_null()
        places = places_of(rows["entity"], entities)
        actuals = actuals_by_entity(labels.by_entity, contract, entities)
        known = actuals.at(places, target_times(rows, contract))
    actual, arrived = known
    if labels.by_id.num_rows:
        named = actuals_by_id(labels.by_id, contract, rows["prediction_id"])
        actual, arrived = latest(known, named), np.maximum(known[1], named[1])
    matched = Matched(
        rows=rows,
        predicted=outputs(rows, contract),
        actual=actual,
        naive=np.full(shape, np.nan),
    )
    last = arrived.max(axis=(1, 2), initial=_NEVER)
    return Labelled(matched=matched, arrived=_moments(last))


def _lists(rows: pa.Table, labels: Labels) -> Labelled:
    found = latest_lists(rows, labels.by_entity, labels.by_id)
    none = np.empty((rows.num_rows, 0, 0))
    matched = Matched(
        rows=rows,
        predicted=none,
        actual=none,
        naive=none,
        labels=None if found is None else found[0],
    )
    last = np.full(rows.num_rows, _NEVER) if found is None else found[1]
    return Labelled(matched=matched, arrived=_moments(last))


def _moments(at: Ints) -> list[datetime | None]:
    return [None if one == _NEVER else _EPOCH + int(one) * _US for one in at]


def about(state: State, rows: pa.Table) -> Labels:
    """Return the labels that may be about some predictions.

    Parameters
    ----------
    state
        Where they are.
    rows
        Best of one day: labels are read for all of their span.
    """
    ahead = timedelta(seconds=state.contract.step_seconds)
    first, last = pc.min_max(rows["at"]).as_py().values()
    start = timedelta() if task.of(state.contract).compares_lists else ahead
    window = Window(first + start, last + state.contract.horizon * ahead + _US)
    entities = pc.unique(rows["entity"]).drop_null()
    ids = rows["prediction_id"].combine_chunks()
    is_entity, is_named = pc.field("entity").isin(entities), pc.field("prediction_id").isin(ids)
    reaches = (pc.field("target_at") < window.end) & (pc.field("until") >= window.start)
    found = [
        state.log.labels(window, _BY_ENTITY, only=is_entity) if len(entities) else None,
        state.log.labels_by_id(ids, pc.min(rows["received_at"]).as_py() - _DAY, _BY_ID),
    ]
    waiting: tuple[list[pa.Table], list[pa.Table]] = ([], [])
    for labels in state.labels.tables():
        there = stamped(Kind.LABELS, state.contract, labels)
        waiting[0].append(there.filter(reaches & is_entity).select(_BY_ENTITY))
        waiting[1].append(there.filter(is_named).select(_BY_ID))
    wanted = label_schema(state.contract)
    tables = []
    for kept, more, names in zip(found, waiting, (_BY_ENTITY, _BY_ID), strict=True):
        columns = loose(pa.schema([wanted.field(name) for name in names]))
        some = [columns.empty_table()] if kept is None else [conform(kept, columns)]
        tables.append(pa.concat_tables([*some, *(conform(each, columns) for each in more)]))
    return Labels(by_entity=tables[0], by_id=tables[1])
