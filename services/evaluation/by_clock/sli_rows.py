"""What the histories of SLIs are made of: rows of summaries, and how SLOs count them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.durations import DAY, HOUR
from core.window import Window
from db.queries import summary_rows
from db.tables import Model
from monitors.slo import sli
from monitors.slo.cells import N_PLACES, SLICE, STRIDE, CellCounts, merged
from monitors.slo.history import History, of_slices, slice_at
from monitors.slo.period import of_calendar
from monitors.slo.reading import budgeted
from monitors.slo.sli import SliKind
from monitors.sources import SliSlices
from monitors.summaries.summary import chunk_at, chunk_start

_OF_SLICE = N_PLACES * STRIDE  # keys of one slice
_OF_HOUR = HOUR // SLICE


class Rows:
    """Rows of one model; those of a stream are decoded once."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], list[bytes]] = defaultdict(list)
        self._decoded: dict[str, dict[str, CellCounts]] = {}
        self._by_hour: dict[tuple[str, int], dict[str, CellCounts]] = {}

    def of(self, kind: SliKind[Any]) -> Mapping[str, CellCounts]:
        """Return what was counted of the stream of an SLI, by version."""
        stream = kind.stream
        if stream.name not in self._decoded:
            self._decoded[stream.name] = {
                version: stream.from_many(own)
                for (name, version), own in sorted(self.blobs.items())
                if name == stream.name
            }
        return self._decoded[stream.name]

    def by_hour(
        self, kind: SliKind[Any], until: int, pins: Collection[int]
    ) -> Mapping[str, CellCounts]:
        """Return what was counted of the stream of an SLI, as `by_hour`, by version."""
        key = kind.stream.name, until
        if key not in self._by_hour:
            counts = self.of(kind)
            self._by_hour[key] = {of: by_hour(own, until, pins) for of, own in counts.items()}
        return self._by_hour[key]


def by_hour(found: CellCounts, until: int, pins: Collection[int]) -> CellCounts:
    """Return counts in which a whole hour, of what is old, is one slice at its start.

    The first hour is left as it is, for where a history begins, and so are hours with a pin
    inside.

    Parameters
    ----------
    found
        What was counted.
    until
        The slice before which hours are old: the first of an hour.
    pins
        Slices at which the counts must be cut.

    Examples
    --------
    >>> keys = np.array([3, 400, 401, 800]) * N_PLACES * STRIDE
    >>> found = CellCounts(keys=keys, counts=np.ones(4, dtype=np.int64))
    >>> by_hour(found, 720, [7]).slices.tolist(), by_hour(found, 720, [401]).slices.tolist()
    ([3, 360, 800], [3, 400, 401, 800])
    """
    n = int(np.searchsorted(found.keys, until * _OF_SLICE))
    if not n:
        return found
    old, counts = found.keys[:n], found.counts[:n]
    first = int(old[0]) // _OF_SLICE // _OF_HOUR
    hours, cells = old // _OF_SLICE // _OF_HOUR - first, old % _OF_SLICE
    known = np.flatnonzero(np.bincount(cells))
    is_fine = np.zeros(int(hours[-1]) + 1, np.bool_)
    is_fine[0] = True
    inside = [pin // _OF_HOUR - first for pin in pins if pin % _OF_HOUR]
    is_fine[[hour for hour in inside if 0 <= hour < is_fine.size]] = True
    if is_fine.size * known.size > n:  # few predictions, of many segments: nothing is gained
        return found
    fine = is_fine[hours]
    place = np.searchsorted(known, np.arange(_OF_SLICE))
    of = (hours * known.size + place[cells])[~fine]
    sums = np.bincount(of, counts[~fine]).astype(np.int64)
    at = np.flatnonzero(sums)
    keys = (first + at // known.size) * _OF_HOUR * _OF_SLICE + known[at % known.size]
    return merged(
        [
            CellCounts(keys=old[fine], counts=counts[fine]),
            CellCounts(keys=keys, counts=sums[at]),
            CellCounts(keys=found.keys[n:], counts=found.counts[n:]),
        ]
    )


def by_model(found: Iterable[Sequence[Any]]) -> dict[UUID, Rows]:
    """Return rows of model, stream, version and payload, by model."""
    rows: dict[UUID, Rows] = defaultdict(Rows)
    for model_id, stream, version, payload in found:
        rows[model_id].blobs[stream, version].append(payload)
    return rows


def history(found: CellCounts, source: SliSlices) -> History:
    """Return the history of what was counted, as a source counts it.

    Raises
    ------
    Unprocessable
        If cells were counted that the SLI has no more.
    """
    slices, events = sli.find(source.sli).by_slice(found, source.params)
    return of_slices(
        *budgeted(slices, events, source.method, source.slice_width, source.slice_target)
    )


def read(
    session: Session, model: Model, source: SliSlices, as_of: datetime
) -> tuple[History, dict[str, History]]:
    """Return the history of a source up to the hour of a moment, of all and by version.

    Raises
    ------
    Unprocessable
        If cells were counted that the SLI has no more.
    """
    first = chunk_start(chunk_at(as_of - source.back))
    end = chunk_start(chunk_at(as_of) + 1)
    found = summary_rows.since(session, [model.id], streams([source]), first, end)
    counts = by_model(found)[model.id].of(sli.find(source.sli))
    versions = {version: history(own, source) for version, own in counts.items()}
    return history(merged([*counts.values()]), source), versions


def counting(source: SliSlices) -> SliSlices:
    """Return what sources have in common that count alike, however long and for whom."""
    return replace(source, back=DAY, calendar=None, zone=None, by_segment=False)


def pins(
    model: Model, wanted: Iterable[SliSlices], corrections: Mapping[UUID, Sequence[Window]]
) -> tuple[int, ...]:
    """Return the slices at which periods and corrections begin or end."""
    assert model.watermark is not None
    parts = [part for own in corrections.values() for part in own]
    for source in wanted:
        if source.calendar is not None:
            zone = source.zone or model.contract.zone
            parts.append(of_calendar(source.calendar, zone, model.watermark))
    return tuple(sorted({slice_at(at) for part in parts for at in (part.start, part.end)}))


def streams(sources: Iterable[SliSlices]) -> set[str]:
    """Return the streams that sources read; an SLI that is unavailable has none."""
    kinds = (sli.SLIS.get(source.sli) for source in sources)
    return {kind.stream.name for kind in kinds if kind is not None}


def open_hour(model: Model) -> datetime | None:
    """Return the hour of the newest event; None before any."""
    return None if model.watermark is None else chunk_start(chunk_at(model.watermark))
