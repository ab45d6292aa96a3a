"""Files of rows: CSV, Parquet and Delta tables, read in pieces and always in the same ones."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from core.errors import Unprocessable
from services.ingest.formats.columns import Mask

_BLOCK = 8 * 2**20
_PARSE = pa.csv.ParseOptions(newlines_in_values=True)
_NOT_MAPPED = (
    "",
    "none",
)  # values of `delta.columnMapping.mode`: names in files are those of the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One table in a file or a folder.

    Attributes
    ----------
    path
        As it was given.
    columns
        Their names, in order.
    digest
        SHA-256 of the content.
    n_rows
        None where only reading shows it.
    parts
        The Parquet files, in order; None for CSV.
    constants
        For each part, the values of columns that are not in the file.
    keeps
        For each part, which of its first rows are not deleted; None for all.
    schema
        Of a Delta table: its files may lack columns that were added later.
    """

    path: Path
    columns: tuple[str, ...]
    digest: str
    n_rows: int | None
    parts: tuple[Path, ...] | None = None
    constants: tuple[dict[str, str | None], ...] = ()
    keeps: tuple[Mask | None, ...] = (None,)
    schema: pa.Schema | None = None

    def read(self, columns: tuple[str, ...]) -> Iterator[pa.Table]:
        """Yield the rows, some of the columns only, in order."""
        if self.parts is None:
            return _csv(self, columns)
        return _parquet(self, self.parts, columns)


def find(path: Path) -> Source:
    """Read the schema of a file, or of the folder of a Delta table.

    Raises
    ------
    Unprocessable
        If it is not there, or nothing that can be read.
    """
    if path.is_dir():
        return _delta(path)
    if not path.is_file():
        raise Unprocessable(f"no file {str(path)!r}")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return _one_parquet(path)
        with pa.csv.open_csv(path, read_options=_blocks(), parse_options=_PARSE) as stream:
            columns = tuple(stream.schema.names)
    except (pa.ArrowException, OSError) as error:
        raise Unprocessable(f"{path.name} cannot be read: {type(error).__name__}") from None
    if len({*columns}) < len(columns):
        raise Unprocessable(f"{path.name}: two columns have the same name")
    return Source(path=path, columns=columns, digest=_digest(path), n_rows=None)


def cut(tables: Iterator[pa.Table], n: int) -> Iterator[pa.Table]:
    """Yield the same rows in tables of `n`, the last of them shorter."""
    waiting: list[pa.Table] = []
    n_waiting = 0
    for table in tables:
        waiting.append(table)
        n_waiting += table.num_rows
        while n_waiting >= n:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, n).combine_chunks()
            waiting = [whole.slice(n)]
            n_waiting -= n
    if n_waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _blocks() -> pa.csv.ReadOptions:
    return pa.csv.ReadOptions(block_size=_BLOCK)


def _csv(source: Source, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """Read every column as text: what a value means is decided by its field, not by a guess."""
    convert = pa.csv.ConvertOptions(
        include_columns=[*columns],
        column_types=dict.fromkeys(columns, pa.string()),
        strings_can_be_null=True,
        null_values=[""],  # other words for null are texts where the field is one
    )
    try:
        with pa.csv.open_csv(
            source.path, read_options=_blocks(), parse_options=_PARSE, convert_options=convert
        ) as stream:
            for batch in stream:
                yield pa.Table.from_batches([batch])
    except pa.ArrowInvalid as error:
        # Arrow quotes the line that it cannot read.
        where = str(error).partition(":")[0]
        raise Unprocessable(f"{source.path.name} cannot be read on: {where}") from None


def _one_parquet(path: Path) -> Source:
    with pq.ParquetFile(path) as file:
        return Source(
            path=path,
            columns=tuple(file.schema_arrow.names),
            digest=_digest(path),
            n_rows=file.metadata.num_rows,
            parts=(path,),
            constants=({},),
        )


def _parquet(
    source: Source, parts: Sequence[Path], columns: tuple[str, ...]
) -> Iterator[pa.Table]:
    for path, constants, keep in zip(parts, source.constants, source.keeps, strict=True):
        first = 0
        with pq.ParquetFile(path) as file:
            there = [column for column in columns if column in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=20_000, columns=there):
                table = pa.Table.from_batches([batch])
                for column in columns:
                    if column not in there:
                        value = pa.scalar(constants.get(column), pa.string())
                        table = table.append_column(column, pa.repeat(value, len(table)))
                table = _conformed(source, table.select([*columns]))
                yield table if keep is None else _undeleted(table, keep[first:])
                first += len(table)


def _undeleted(table: pa.Table, keep: Mask) -> pa.Table:
    """Leave out rows that a deletion vector names; rows behind its end are kept."""
    every = np.ones(len(table), np.bool_)
    every[: len(keep)] = keep[: len(table)]
    return table.filter(pa.array(every))


def _conformed(source: Source, table: pa.Table) -> pa.Table:
    """Give the rows of one file the types of the table."""
    if source.schema is None:
        return table
    wanted = pa.schema([source.schema.field(name) for name in table.column_names])
    try:
        return table.cast(wanted)
    except pa.ArrowException:
        raise Unprocessable(
            f"{source.path.name}: a file of the table does not have the types of the table"
        ) from None


def _delta(path: Path) -> Source:
    if not DeltaTable.is_deltatable(str(path)):
        raise Unprocessable(f"{str(path)!r} is a folder, and no Delta table")
    try:
        table = DeltaTable(str(path))
        actions = table.get_add_actions(flatten=True)
    except DeltaError as error:
        raise Unprocessable(f"{path.name} cannot be read: {error}") from None
    mapping = table.metadata().configuration.get("delta.columnMapping.mode", "")
    if mapping not in _NOT_MAPPED:
        raise Unprocessable(
            f"{path.name}: its files name columns by the mapping {mapping!r}, which is not "
            "supported: write a copy of the table without column mapping"
        )
    deleted = _deleted(table)
    rows = pa.table(actions).select(_wanted(actions)).to_pylist()
    rows.sort(key=lambda row: row["path"])
    root = Path(unquote(urlparse(table.table_uri).path))
    parts = tuple(root / unquote(row["path"]) for row in rows)
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise Unprocessable(f"{path.name}: file {missing[0]!r} of the table is not there")
    constants = tuple(
        {
            name.removeprefix("partition."): None if value is None else str(value)
            for name, value in row.items()
            if name.startswith("partition.")
        }
        for row in rows
    )
    keeps = tuple(deleted.get(part.name) for part in parts)
    named = [_digest(part) for part in parts]
    named += [hashlib.sha256(keep.tobytes()).hexdigest() for keep in keeps if keep is not None]
    digest = hashlib.sha256("".join(named).encode()).hexdigest()
    counts = [row.get("num_records") for row in rows]
    schema = pa.schema(table.schema().to_arrow())
    return Source(
        path=path,
        columns=tuple(schema.names),
        digest=digest,
        n_rows=None if deleted or None in counts else sum(counts),
        parts=parts,
        constants=constants,
        keeps=keeps,
        schema=schema,
    )


def _wanted(actions: Any) -> list[str]:
    """Return what is read of the entries of a table's log: statistics may hold any type."""
    names = pa.schema(actions.schema).names
    return [n for n in names if n in ("path", "num_records") or n.startswith("partition.")]


def _deleted(table: DeltaTable) -> dict[str, Mask]:
    """Return the deletion vectors of a table by the name of the file: false is deleted."""
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return {}
    return {
        unquote(row["filepath"].rpartition("/")[2]): np.array(row["selection_vector"], np.bool_)
        for row in pa.table(table.deletion_vectors()).to_pylist()
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
