"""What the histories of SLIs are made of: rows of summaries, and how SLOs count them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from core.durations import DAY
from core.window import Window
from db.queries import summary_rows
from db.tables import Model
from monitors.slo import sli
from monitors.slo.cells import CellCounts, merged
from monitors.slo.history import History, of_slices, slice_at
from monitors.slo.period import of_calendar
from monitors.slo.reading import budgeted
from monitors.slo.sli import SliKind
from monitors.sources import SliSlices
from monitors.summaries.summary import chunk_at, chunk_start


class Rows:
    """Rows of one model; those of a stream are decoded once."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], list[bytes]] = defaultdict(list)
        self._decoded: dict[str, dict[str, CellCounts]] = {}

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
    """Return the streams that sources read."""
    return {sli.find(source.sli).stream.name for source in sources}


def open_hour(model: Model) -> datetime | None:
    """Return the hour of the newest event; None before any."""
    return None if model.watermark is None else chunk_start(chunk_at(model.watermark))
