"""Complete rows of predictions, by their keys."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.schema.contract import Contract
from core.schema.rows import Kind, schema
from lake.lists import DAY_US, days_of, micros
from lake.search import KEY_SCHEMA, KEYS, Within, loose
from services.read_models.lookup.labels import Labelled, about, match
from services.read_models.lookup.snapshot import State, conform

_MAX_CELLS = 2_000_000  # steps x targets that are matched with labels at one go


class Store(StrEnum):
    """Where a row is kept now."""

    INBOX = "inbox"
    LAKE = "lake"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What happened.

    Attributes
    ----------
    actual
        By target, null for steps that are not known yet.
    error
        What was predicted less what happened; empty where the task compares lists.
    loss
        Of the whole prediction by the task, in natural units.
    """

    actual: dict[str, list[float | str | None]]
    error: dict[str, list[float | None]]
    loss: float | None
    arrived_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One prediction, and what became of it.

    Attributes
    ----------
    fields
        The columns of the row, as it was sent and is stored.
    kept_in
        Where the row is now.
    sent
        How often it was sent, under the same id on the same event day. The
        row is the one that was received first, as for accuracy.
    label
        None while no step has one.
    """

    fields: dict[str, Any]
    kept_in: Store
    sent: int
    label: Label | None

    def to_json(self) -> dict[str, Any]:
        """Return the form that is sent."""
        return {**self.fields, "kept_in": self.kept_in, "sent": self.sent, "label": self.label}


def complete(state: State, keys: pa.Table) -> list[Prediction]:
    """Return whole predictions, each id of a day once.

    Parameters
    ----------
    state
        Where the rows are.
    keys
        With `at`, `prediction_id` and `received_at`. The rows come in their
        order; what was received again is left out.
    """
    firsts, n_sent = _first_received(state, keys)
    rows, stores = _whole(state, firsts)
    found: dict[int, Prediction] = {}
    for places in _by_day(rows, state.contract):
        some = rows.take(places)
        matched = match(state.contract, some, about(state, some))
        labels = list(_labels(matched, state.contract))
        for i, (place, fields) in enumerate(zip(places, some.to_pylist(), strict=True)):
            found[place] = Prediction(
                fields=fields, kept_in=stores[place], sent=n_sent[place], label=labels[i]
            )
    return [found[place] for place in range(rows.num_rows)]


def _first_received(state: State, keys: pa.Table) -> tuple[pa.Table, list[int]]:
    """Return the keys that were the first of their id on their day, and how many those had."""
    ids = pc.unique(keys["prediction_id"])
    days = np.unique(days_of(keys["at"]))
    is_named = pc.field("prediction_id").isin(ids)
    rows = [KEY_SCHEMA.empty_table()]
    for day in days.tolist():
        rows += state.lake.read(is_named, KEYS, Within.of_day(day))
    for waiting in state.predictions.tables():
        there = waiting.filter(is_named).select(KEYS)
        is_day = np.isin(days_of(there["at"]), days)
        rows.append(there.filter(pa.array(is_day)).cast(KEY_SCHEMA))
    firsts: dict[tuple[int, str], tuple[int, int]] = {}
    n_sent: dict[tuple[int, str], int] = {}
    for at, name, received in _tuples(pa.concat_tables(rows)):
        which = (at // DAY_US, name)
        firsts[which] = min(firsts.get(which, (received, at)), (received, at))
        n_sent[which] = n_sent.get(which, 0) + 1
    kept, seen = [], set[tuple[int, str]]()
    for place, (at, name, received) in enumerate(_tuples(keys)):
        which = (at // DAY_US, name)
        if firsts.get(which) == (received, at) and which not in seen:
            seen.add(which)
            kept.append(place)
    chosen = keys.take(pa.array(kept, pa.int64()))
    return chosen, [n_sent[at // DAY_US, name] for at, name, _ in _tuples(chosen)]


def _tuples(keys: pa.Table) -> Iterator[tuple[int, str, int]]:
    return zip(
        micros(keys["at"]).tolist(),
        keys["prediction_id"].to_pylist(),
        micros(keys["received_at"]).tolist(),
        strict=True,
    )


def _whole(state: State, keys: pa.Table) -> tuple[pa.Table, list[Store]]:
    """Return whole rows in the order of their keys, and where each is."""
    wanted = loose(schema(Kind.PREDICTIONS, state.contract))
    is_named = pc.field("prediction_id").isin(keys["prediction_id"].combine_chunks())
    days = days_of(keys["at"])
    tables: list[tuple[Store, pa.Table]] = []
    for day in np.unique(days).tolist():
        at = keys["at"].filter(pa.array(days == day))
        bounds = pc.min_max(at).as_py()
        within = Within(first=bounds["min"], last=bounds["max"])
        tables += (
            (Store.LAKE, conform(rows, wanted))
            for rows in state.lake.read(is_named, wanted.names, within)
        )
    tables += (
        (Store.INBOX, conform(rows.filter(is_named), wanted))
        for rows in state.predictions.tables()
    )
    rows = pa.concat_tables([wanted.empty_table(), *(table for _, table in tables)])
    stores = [store for store, table in tables for _ in range(table.num_rows)]
    places: dict[tuple[int, str, int], int] = {}
    for place, key in enumerate(_tuples(rows)):
        places.setdefault(key, place)
    order = [places[key] for key in _tuples(keys)]
    return rows.take(pa.array(order, pa.int64())), [stores[place] for place in order]


def most_at_once(contract: Contract) -> int:
    """Return how many predictions may be matched with labels at one go."""
    return max(1, _MAX_CELLS // (contract.horizon * len(contract.targets)))


def _by_day(rows: pa.Table, contract: Contract) -> Iterator[list[int]]:
    """Yield the places of rows of one day, no more at once than memory allows."""
    most = most_at_once(contract)
    days = days_of(rows["at"])
    for day in np.unique(days):
        places = np.flatnonzero(days == day).tolist()
        for start in range(0, len(places), most):
            yield places[start : start + most]


def _labels(found: Labelled, contract: Contract) -> Iterator[Label | None]:
    of_rows: list[tuple[Any, Any]]
    if found.matched.labels is not None:
        of_rows = [(actual or {}, {}) for actual in found.matched.labels.to_pylist()]
    elif not found.matched.actual.size:
        of_rows = [({}, {})] * len(found.arrived)
    else:
        actual, error = _nullable(found.matched.actual), _nullable(found.error)
        of_rows = [
            (
                dict(zip(contract.targets, a, strict=True)),
                dict(zip(contract.targets, e, strict=True)),
            )
            for a, e in zip(actual, error, strict=True)
        ]
    losses = found.losses(contract)
    for (actual, error), loss, arrived in zip(of_rows, losses, found.arrived, strict=True):
        known = (
            Label(actual=actual, error=error, loss=loss, arrived_at=arrived)
            if arrived
            else None
        )
        yield known


def _nullable(values: Any) -> Any:
    """Return lists by (prediction, target, step) with None for NaN."""
    swapped = np.swapaxes(values, 1, 2)
    plain = swapped.astype(object)
    plain[np.isnan(swapped)] = None
    return plain.tolist()
