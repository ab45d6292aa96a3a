"""One page of a source: mapped, checked and masked, with what it changes of the source."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pyarrow as pa

from core.errors import RowFault, Unprocessable
from core.schema.rows import Kind
from core.terms import Terms
from services.ingest import Batch, Feed, Format
from services.ingest.batch import ipc_stream
from services.ingest.formats.decode import Section, decode
from services.ingest.mapping.layout import Layout, MappingOptions, lay_out
from services.ingest.mapping.shaping import Shaper
from services.sources import columns
from sources.kind import Json, Page, written

ARRIVALS_KEPT = 200
ARRIVALS_EVERY = timedelta(hours=1)  # more often they are not kept


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSource:
    """A source as it was read, with the terms of its model."""

    id: UUID
    rev: int
    name: str
    kind: str
    config: Mapping[str, object]
    options: MappingOptions
    every: timedelta
    after: Json
    columns: Mapping[str, str]
    is_stopped: bool
    arrivals: tuple[str, ...]
    n_failures: int
    model_id: UUID
    model: str
    terms: Terms

    @property
    def feed(self) -> Feed:
        """The way in that its rows take."""
        return Feed.LABELS if self.options.stream is Kind.LABELS else Feed.PREDICTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedPage:
    """A page, ready to be stored, with what it changes of its source."""

    sections: list[Section]
    state: Mapping[str, Any]
    is_last: bool


@dataclass(slots=True, kw_only=True)
class _Refused:
    """Values of a page that cannot be read, by row."""

    faults: dict[int, RowFault] = field(default_factory=dict)
    n_by_field: Counter[str] = field(default_factory=Counter)

    def __call__(self, row: int, name: str, reason: str) -> None:
        """Note one."""
        self.faults.setdefault(row, RowFault(row=row, field=name, reason=reason))
        self.n_by_field[name] += 1


class ColumnsChanged(Exception):
    """A mapped column is missing, or can no longer be read."""


def decoded(source: LoadedSource, page: Page, now: datetime) -> DecodedPage:
    """Map, check and mask the rows of a page, as those of any batch.

    Raises
    ------
    Unprocessable
        If the mapping does not fit the columns.
    ColumnsChanged
        If it did, and they have changed.
    """
    state: dict[str, Any] = {
        "watermark": written(page.watermark),
        "pulled_at": now,
        "next_due_at": now + source.every if page.is_last else now,
        "n_failures": 0,
        "error": None,
    }
    sections: list[Section] = []
    if page.table.num_rows:
        types = columns.types_of(page.table)
        layout = _layout(source, types)
        refused = _Refused()
        retyped = columns.retyped(
            {name: source.columns.get(name, columns.UNKNOWN) for name in layout.columns}, types
        )
        batch_id = _batch_id(source, layout, page)
        try:
            shaped = _shaped(source, layout, page.table, batch_id, refused)
            if shaped.num_rows:
                sections = _sections(source, shaped, batch_id, refused, now)
        except Unprocessable as error:
            if retyped:
                raise ColumnsChanged("; ".join(retyped.values())) from error
            raise
        _refuse_unreadable(layout, page.table, retyped, refused)
        state |= _columns_state(source, layout, types, retyped, refused)
        state |= {"row_at": now, "arrivals": _arrivals(source.arrivals, now)}
    elif source.is_stopped:  # the rows with other columns are gone
        state["changed"] = None
    return DecodedPage(sections=sections, state=state, is_last=page.is_last)


def _layout(source: LoadedSource, types: Mapping[str, str]) -> Layout:
    """Return which column is which field: as on the first page, whatever has come since."""
    known = source.columns or types
    layout = lay_out([*known], source.terms.contract, source.options)
    gone = [name for name in layout.columns if name not in types]
    if gone:
        raise ColumnsChanged(f"column {', '.join(gone)} is missing; known: {', '.join(types)}")
    return layout


def _shaped(
    source: LoadedSource, layout: Layout, table: pa.Table, batch_id: str, refused: _Refused
) -> pa.Table:
    digest = batch_id.partition("-")[2]
    shaper = Shaper(layout, source.terms.contract, digest, refused)
    if source.feed is Feed.PREDICTIONS:
        return shaper.predictions(table, 0)
    shaped, places = shaper.labels(table, 0)
    at = {place: row for row, place in enumerate(places.to_pylist())}
    refused.faults = {  # rows without a value were left out
        at[place]: RowFault(row=at[place], field=fault.field, reason=fault.reason)
        for place, fault in refused.faults.items()
    }
    return shaped


def _refuse_unreadable(
    layout: Layout, table: pa.Table, retyped: Mapping[str, str], refused: _Refused
) -> None:
    """Refuse a page in which no value of a column with another type can be read."""
    lost = [
        retyped[name]
        for field_name, names in layout.fields.items()
        for name in names
        if name in retyped
        and 0 < len(table) - table.column(name).null_count <= refused.n_by_field[field_name]
    ]
    if lost:
        raise ColumnsChanged("; ".join(dict.fromkeys(lost)))


def _columns_state(
    source: LoadedSource,
    layout: Layout,
    types: Mapping[str, str],
    retyped: Mapping[str, str],
    refused: _Refused,
) -> dict[str, Any]:
    # A column in which one value cannot be read may have the type of that value.
    unsure = {
        name
        for field_name, names in layout.fields.items()
        if refused.n_by_field[field_name]
        for name in names
    }
    sure = {name: columns.UNKNOWN if name in unsure else of for name, of in types.items()}
    known = columns.merged(source.columns, sure)
    return {
        "columns": known,
        "new_columns": [name for name in types if name not in known],
        "changed": "; ".join(retyped.values()) or None,
    }


def _sections(
    source: LoadedSource, shaped: pa.Table, batch_id: str, refused: _Refused, now: datetime
) -> list[Section]:
    batch = Batch(
        model_id=source.model_id,
        model=source.model,
        terms=source.terms,
        feed=source.feed,
        format=Format.ARROW,
        body=ipc_stream(shaped),
        batch_id=batch_id,
        faults=tuple(refused.faults.values()),
    )
    sections, wrong = decode({0: batch}, now, shaped.num_rows)
    for error in wrong.values():
        raise error
    return sections


def _batch_id(source: LoadedSource, layout: Layout, page: Page) -> str:
    """Return what names a page: the rows between two watermarks, read in one way."""
    between = [written(source.after), written(page.watermark)]
    document = [source.name, source.kind, layout.digest, *between]
    return "source-" + hashlib.sha256(json.dumps(document).encode()).hexdigest()[:40]


def _arrivals(before: tuple[str, ...], now: datetime) -> list[str]:
    """Return when rows came, at most one moment an hour."""
    if before and timedelta(0) <= now - datetime.fromisoformat(before[-1]) < ARRIVALS_EVERY:
        return [*before]
    return [*before, now.isoformat()][-ARRIVALS_KEPT:]
