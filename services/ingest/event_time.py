"""Anomalies in the times of rows, and the clock of a model (its newest event time).

docs/time.md describes the rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import RowFault
from core.schema.rows import REFERENCE
from lake.lists import Ints, differ, micros
from monitors.slo import cells
from monitors.slo.cells import CellCounts
from monitors.summaries.hourly import HOURS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1)
_US = timedelta(microseconds=1)
_DAY_US = timedelta(days=1) // _US
OLD = timedelta(days=2)  # a row older than this when received is history, not an arrival


class TimeAnomaly(StrEnum):
    """Anomaly of a row's time. Rows of the last two kinds are quarantined."""

    OUT_OF_ORDER = "out_of_order"
    LATE = "late"
    AHEAD = "ahead"
    FUTURE = "future"
    BEFORE_1970 = "before_1970"


# Reasons of services.ingest.validation.validate.
_REFUSED = {"in the future": TimeAnomaly.FUTURE, "before 1970-01-02": TimeAnomaly.BEFORE_1970}


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Summary of the times of some rows.

    Attributes
    ----------
    clock
        The newest event time that can be true.
    counts
        Number of rows by anomaly.
    arrivals
        Rows received within two days of their time, by ten seconds of wall time, without the
        reference.
    """

    clock: datetime
    counts: Mapping[str, int]
    arrivals: CellCounts


def examine(rows: pa.Table, clock: datetime | None, lateness: timedelta) -> Times:
    """Count the anomalies in the times of rows, in the order in which they were received.

    An event cannot be after its report: a row whose time is ahead of its
    arrival comes from a fast clock, and advances the model's clock only to its
    time of arrival. Each row is compared with the newest time of the rows
    before it, so that the counts do not depend on how rows are grouped. Past
    input (the reference) is neither late nor out of order.

    Parameters
    ----------
    rows
        Predictions, with `at`, `received_at` and `version`; at least one.
    clock
        The model's clock before these rows.
    lateness
        How long after its end an event day is held open.
    """
    at, received = micros(rows["at"]), micros(rows["received_at"])
    shown = np.minimum(at, received)
    before = np.empty_like(shown)
    before[0] = np.iinfo(np.int64).min if clock is None else (clock - _EPOCH) // _US
    before[1:] = shown[:-1]
    np.maximum.accumulate(before, out=before)
    newest = max(int(before[-1]), int(shown[-1]))
    served = differ(rows["version"], REFERENCE)
    older = (at < before) & served
    late = older.copy()
    if older.any():
        ends = (at[older] // _DAY_US + 1) * _DAY_US
        late[older] = ends + lateness // _US <= before[older]
    return Times(
        clock=_EPOCH + newest * _US,
        counts={
            TimeAnomaly.OUT_OF_ORDER: int(older.sum()),
            TimeAnomaly.LATE: int(late.sum()),
            TimeAnomaly.AHEAD: int(((at > received) & served).sum()),
        },
        arrivals=_arrivals(received[served & (received - at < OLD // _US)]),
    )


def is_arrival(rows: pa.Table, now: datetime) -> bool:
    """Return whether any of the rows, received now, is an arrival and not history."""
    return bool(pc.max(rows["at"]).as_py() > now - OLD)


def _arrivals(received: Ints) -> CellCounts:
    return cells.summarise(received, np.zeros_like(received))


def days_of(hours: Sequence[Ints]) -> list[date]:
    """Return the event days that hold some hours since 1970.

    Examples
    --------
    >>> days_of([np.array([0, 1, 24])])
    [datetime.date(1970, 1, 1), datetime.date(1970, 1, 2)]
    """
    if not hours:
        return []
    days = np.unique(np.concatenate([some // HOURS for some in hours]))
    return [_EPOCH_DAY + timedelta(days=int(day)) for day in days]


def refused(faults: Sequence[RowFault]) -> dict[str, int]:
    """Count the rows that are quarantined because of their time.

    Examples
    --------
    >>> refused([RowFault(row=3, field="at", reason="in the future")])
    {'future': 1}
    """
    counts: dict[str, int] = {}
    for fault in faults:
        anomaly = _REFUSED.get(fault.reason)
        if anomaly is not None:
            counts[anomaly.value] = counts.get(anomaly.value, 0) + 1
    return counts
