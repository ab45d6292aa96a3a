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
    """A column, with its unit in `meaning` where it has one."""

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
    Column("model_id", TEXT, "id of the model"),
    Column("model", TEXT, "name of the model"),
)
MONITOR = (
    Column("monitor", TEXT, "name of the monitor"),
    Column("kind", TEXT, "kind of the monitor"),
)
VERSION = Column("version", TEXT, "version that served")
WINDOW = (
    Column("window_start", TIME, "start of the window, event time"),
    Column("window_end", TIME, "its end, excluded"),
)
KNOWN = (
    Column("as_of", TIME, "as of which it was computed"),
    Column("recorded_at", TIME, "since when it was known, wall time"),
)


def of_model(model_id: UUID, name: str) -> Row:
    """Return the columns `MODEL` of a row."""
    return {"model_id": str(model_id), "model": name}
