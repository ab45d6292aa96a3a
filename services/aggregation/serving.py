"""What was served: predictions counted by the cells of the SLIs, and reads of them."""

import logging
from collections.abc import Mapping, Sequence
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.orm import Session

from core.schema.rows import Kind
from core.window import Window
from db.queries import summaries
from lake.lists import Floats, Ints, micros, numbers
from monitors.slo import cells, sli
from monitors.slo.cells import ERROR_CELL, CellCounts, Cells, Columns, Texts
from monitors.slo.serving import N_CELLS, SERVING
from services.aggregation import segments

log = logging.getLogger(__name__)


def count(rows: pa.Table, at: Ints, kind: Kind = Kind.PREDICTIONS) -> Mapping[str, CellCounts]:
    """Count served predictions, or events, of one version, by stream.

    Parameters
    ----------
    rows
        With the places of their segments where the model has any.
    at : (row,)
        Their event times, in microseconds since 1970.
    kind
        What the rows are.
    """
    places, found = segments.of(rows), {}
    for stream, of in sli.counted(kind).items():
        counted = cells.summarise(at, _cells(rows, stream, of), places)
        if counted.keys.size:
            found[stream] = counted
    return found


def _cells(rows: pa.Table, stream: str, of: Cells) -> Ints:
    """Return the cell of each row; where a plug-in fails, that of an error."""
    columns = _columns(rows, of.columns)
    try:
        return of.of(columns)
    except Exception:  # also what looks like an outage: cells read nothing but their columns
        log.exception("stream %s: %s rows are unknown", stream, rows.num_rows)
        return np.full(rows.num_rows, ERROR_CELL)


def _columns(rows: pa.Table, names: Sequence[str]) -> Columns:
    of = {name: rows[name] for name in names if name in rows.column_names}
    texts = {name: column for name, column in of.items() if pa.types.is_string(column.type)}
    return Columns(
        n=rows.num_rows,
        numbers={name: _numbers(of[name]) for name in of.keys() - texts.keys()},
        texts={name: _texts(column) for name, column in texts.items()},
    )


def _numbers(column: pa.ChunkedArray) -> Floats:
    if pa.types.is_timestamp(column.type):
        return micros(column) / 1e6
    return numbers(column if column.type == pa.float64() else column.cast(pa.float64()))


def _texts(column: pa.ChunkedArray) -> Texts:
    found = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
    return Texts(codes=found.indices.to_numpy(), values=tuple(found.dictionary.to_pylist()))


def n_rows(session: Session, model_id: UUID, window: Window) -> int:
    """Return how many rows all versions together served in a window of whole hours."""
    served = summaries.read(session, SERVING, model_id, [window])
    return 0 if served is None else n_within(served, window)


def n_within(served: CellCounts, window: Window) -> int:
    """Return how many rows were served in a window, but those that could not be counted."""
    inside = served.within(window)
    return int(inside.counts[inside.cells < N_CELLS].sum())
