"""Sums of losses of one version on one event day, by stream."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from core.arrays import Floats
from core.schema import task
from core.schema.contract import Contract
from core.schema.task import Matched, Units
from core.schema.zone import Zone
from lake.lists import micros
from monitors.baselines.segments import FIRST, MOST
from monitors.summaries.local_time import local_micros
from services.aggregation import segments
from services.labels.error_days import (
    ERRORS,
    ERRORS_BY_SEGMENT,
    SHADOW_ERRORS,
    DaySums,
    to_bytes,
)
from tasks.sums import by_place, chunk, parts, total, width

CELLS = 2**16  # summed up at one go: they stay in the processor's cache


class LossSums:
    """What the predictions of a version on one day add up to, some rows at a time.

    Attributes
    ----------
    sizes : (step, target, part)
        From `tasks.sums.total`.
    apart : (place, target, part)
        The same by segment, over all steps.
    further
        Of the task's other streams, by name.
    """

    def __init__(self, contract: Contract) -> None:
        self.task = task.of(contract)
        self.contract = contract
        n_steps, n_targets = self.task.cells(contract)
        n_parts = width(self.task) + 1
        self.sizes: Floats = np.zeros((n_steps, n_targets, n_parts))
        self.apart: Floats = np.zeros((FIRST + MOST, n_targets, n_parts))
        self.further: dict[str, Floats] = {}

    def add(self, matched: Matched, of: Units) -> None:
        """Add predictions of one version beside their labels."""
        matched = _in_local_time(matched, self.contract)
        places = segments.of(matched.rows)
        n_at_once = max(CELLS // int(np.prod(self.task.cells(self.contract))), 1)
        for start in range(0, matched.rows.num_rows, n_at_once):
            some = _cut(matched, start, n_at_once)
            scored = task.scored(self.contract, of, some)
            added = parts(scored)
            if places is None:
                self.sizes += total(added)
            else:
                for place, sums in by_place(added, places[start : start + n_at_once]):
                    self.sizes += sums
                    self.apart[place] += sums.sum(axis=0)
            for each in self.task.streams:
                more, name = each.sums(some, scored), each.stream.name
                self.further[name] = self.further[name] + more if name in self.further else more

    def stored(
        self, n_predictions: int, *, shadow: bool, has_places: bool
    ) -> Iterator[tuple[str, bytes]]:
        """Yield what is stored of each stream; of what ran in shadow only the errors."""
        whole = DaySums(n_predictions=n_predictions, cells=chunk(self.sizes))
        yield (SHADOW_ERRORS if shadow else ERRORS).name, to_bytes(whole)
        if shadow:
            return
        if has_places:
            apart = DaySums(n_predictions=n_predictions, cells=chunk(self.apart))
            yield ERRORS_BY_SEGMENT.name, to_bytes(apart)
        for each in self.task.streams:
            if each.stream.name in self.further:
                yield (
                    each.stream.name,
                    each.stream.to_bytes(self.further[each.stream.name]),
                )


def _cut(matched: Matched, start: int, n: int) -> Matched:
    some = slice(start, start + n)
    return Matched(
        rows=matched.rows.slice(start, n),
        predicted=matched.predicted[some],
        actual=matched.actual[some],
        naive=matched.naive[some],
        labels=None if matched.labels is None else matched.labels.slice(start, n),
    )


def _in_local_time(matched: Matched, contract: Contract) -> Matched:
    """Return predictions with the local time of each: sums may be by hour of the day."""
    zone, rows = Zone(contract.zone), matched.rows
    if zone.is_utc:
        return matched
    at = pa.array(local_micros(micros(rows["at"]), zone)).cast(rows.schema.field("at").type)
    place = rows.column_names.index("at")
    return replace(matched, rows=rows.set_column(place, rows.schema.field(place), at))
