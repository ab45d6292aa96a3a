"""Conversion of the rows of a table to the columns of ingestion."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import Unprocessable
from core.schema.contract import Contract
from core.schema.feature import Dtype
from core.schema.rows import declared
from services.ingest.formats.columns import is_text
from services.ingest.mapping import numbers, times
from services.ingest.mapping.cells import Refuse, cast, present
from services.ingest.mapping.layout import OF_LABELS, TEXTS, TIMES, Layout


def raise_at(row: int, field: str, reason: str) -> None:
    """Refuse the table because of one row."""
    raise Unprocessable(f"row {row}, {field}: {reason}")


class Shaper:
    """Converts the rows of one file, or of a source.

    Parameters
    ----------
    layout
        The columns of each field.
    contract
        The contract of the rows.
    digest
        Of the file: ids of rows without one are made of it and their index.
    refuse
        Called for a value that cannot be read, with the index of its row; raises by default.
    """

    def __init__(
        self, layout: Layout, contract: Contract, digest: str, refuse: Refuse = raise_at
    ) -> None:
        self._layout = layout
        self._refuse = refuse
        lists = {
            f"{group}.{each.name}": each
            for group in ("features", "output", "actual")
            for each in declared(contract, group)
        }
        self._texts = {name for name, of in lists.items() if of.dtype is Dtype.CATEGORY}
        self._flags = {name for name, of in lists.items() if of.takes_booleans}
        self._digest = digest

    def predictions(self, rows: pa.Table, first: int) -> pa.Table:
        """Return predictions, or past input; `first` is the index of the first row."""
        options = self._layout.options

        def refuse(row: int, field: str, reason: str) -> None:
            self._refuse(first + row, field, reason)

        made = {
            name: self._column(name, rows, refuse)
            for name in self._layout.fields
            if not name.startswith("actual")
            and name not in ("target_at", "target_end", "arrived_at")
        }
        made.setdefault("prediction_id", self._ids(len(rows), first))
        if options.is_reference:
            made.pop("version", None)
        elif options.version is not None:
            made["version"] = _constant(options.version, len(rows))
        if options.entity is not None:
            made["entity"] = _constant(options.entity, len(rows))
        return pa.table(made)

    def labels(self, rows: pa.Table, first: int) -> tuple[pa.Table, pa.Array]:
        """Return labels, and for each of them its index in the file.

        Rows without a value are left out.
        """
        options, fields = self._layout.options, self._layout.fields
        has_value = np.zeros(len(rows), dtype=np.bool_)

        def refuse(row: int, field: str, reason: str) -> None:
            has_value[row] = True  # one that cannot be read
            self._refuse(first + row, field, reason)

        made = {
            name: self._column(name, rows, refuse)
            for name in fields
            if options.stream or name.startswith("actual") or name in OF_LABELS
        }
        if options.entity is not None:
            made["entity"] = _constant(options.entity, len(rows))
        if options.is_series:
            made.pop("prediction_id", None)
            made["target_at"] = self._column("at", rows, refuse)
        elif "target_at" in made:
            if self._layout.has_predictions:
                made.pop("prediction_id", None)
        else:
            made.pop("entity", None)
            if "step_index" not in made:
                made.setdefault("prediction_id", self._ids(len(rows), first))
        for name, column in made.items():
            if name.startswith("actual"):
                has_value |= np.asarray(column.is_valid())
        places = pa.array(np.flatnonzero(has_value) + first)
        return pa.table(made).filter(pa.array(has_value)).combine_chunks(), places

    def _ids(self, n: int, first: int) -> pa.Array:
        places = pa.array(np.arange(first, first + n)).cast(pa.string())
        return pc.binary_join_element_wise(self._digest[:16], places, ":")

    def _column(self, name: str, rows: pa.Table, refuse: Refuse) -> pa.Array:
        columns = [rows.column(each).combine_chunks() for each in self._layout.fields[name]]
        if name in TIMES:
            options = self._layout.options
            return times.read(
                name, columns[0], refuse, zone=options.timezone, epoch=options.epoch
            )
        if name in TEXTS:
            return _text(name, columns[0])
        if name.partition(".")[0] in ("features", "output", "actual") and "." in name:
            if name in self._texts:
                return numbers.categories(columns)
            if name in self._flags:
                columns = [numbers.flags(column) for column in columns]
            if len(columns) > 1:
                return numbers.side_by_side(name, columns, refuse)
            return numbers.read(name, columns[0], refuse)
        return _plain(name, columns[0], refuse)


def _constant(text: str, n: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), n)


def _text(name: str, column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if (
        is_text(column.type)
        or pa.types.is_integer(column.type)
        or pa.types.is_null(column.type)
    ):
        return column.cast(pa.string())
    raise Unprocessable(f"{name}: expected text, got {column.type}")


def _plain(name: str, column: pa.Array, refuse: Refuse) -> pa.Array:
    """Return a column as it is; only text from CSV is converted."""
    if not is_text(column.type):
        return column
    column = present(column)
    if name in ("shadow", "session_start", "session_end", "cold_start"):
        return cast(name, pc.utf8_lower(column), pa.bool_(), refuse)
    whole = name in ("step_index", "queue_length", "batch_size")
    return cast(name, column, pa.int64() if whole else pa.float64(), refuse)
