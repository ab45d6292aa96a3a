"""Declaration of an open table: name, columns and rows.

A new table is one module that ends in `TABLE = OpenTable(...)`, listed in `registry`.
Columns are only added: readers of the table depend on them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import pyarrow as pa
from sqlalchemy.orm import Session

from db.queries.publication import Source
from lake.published import MONTH

TEXT, NUMBER, COUNT, FLAG = pa.string(), pa.float64(), pa.int64(), pa.bool_()
TIME, DATE = pa.timestamp("us", "UTC"), pa.date32()

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What of a source is published in one append.

    Attributes
    ----------
    source, number
        Whose rows.
    read_at
        Wall time at which they are read.
    """

    source: Source
    number: int
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `meaning` has its unit, and is empty where the name suffices."""

    name: str
    type: pa.DataType
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTable:
    """An open table.

    Attributes
    ----------
    name
        Of its folder.
    source
        The rows of the database that it is made of.
    columns
        Returns them: those of tasks depend on what is installed.
    rows
        Returns the rows of a batch by column; what is left out is null.
    """

    name: str
    source: Source
    columns: Callable[[], Sequence[Column]]
    rows: Callable[[Session, Batch], Iterable[Row]]

    @property
    def schema(self) -> pa.Schema:
        """The columns, and the month of recording by which the table is partitioned."""
        fields = [(column.name, column.type) for column in self.columns()]
        return pa.schema([*fields, (MONTH, TEXT)])

    def to_arrow(self, rows: Iterable[Row]) -> pa.Table:
        """Return rows with the month in which each was recorded."""
        dated = [{**row, MONTH: f"{row['recorded_at']:%Y-%m}"} for row in rows]
        return pa.Table.from_pylist(dated, schema=self.schema)


MODEL = (
    Column("model_id", TEXT, ""),
    Column("model", TEXT, ""),
)
MONITOR = (
    Column("monitor", TEXT, ""),
    Column("kind", TEXT, ""),
)
VERSION = Column("version", TEXT, "that served")
WINDOW = (
    Column("window_start", TIME, "event time"),
    Column("window_end", TIME, "excluded"),
)
KNOWN = (
    Column(
        "as_of", TIME, "of the data, event time; of `accuracy` and `slo_slices` `recorded_at`"
    ),
    Column("recorded_at", TIME, "wall time"),
)


def of_model(model_id: UUID, name: str) -> Row:
    """Return the columns `MODEL` of a row."""
    return {"model_id": str(model_id), "model": name}
