"""Files of rows: CSV, Parquet and Delta tables, read in pieces and always in the same ones."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from deltalake import DeltaTable

from core.errors import Unprocessable

_BLOCK = 8 * 2**20


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
        None where only reading tells.
    parts
        The Parquet files, in order; none for CSV.
    constants
        For each part, the values of columns that are not in the file.
    """

    path: Path
    columns: tuple[str, ...]
    digest: str
    n_rows: int | None
    parts: tuple[Path, ...] = ()
    constants: tuple[dict[str, str | None], ...] = ()

    def read(self, columns: tuple[str, ...]) -> Iterator[pa.Table]:
        """Yield the rows, some of the columns only, in order."""
        return _parquet(self, columns) if self.parts else _csv(self, columns)


def find(path: Path) -> Source:
    """Look at a file, or at the folder of a Delta table.

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
        with pa.csv.open_csv(path, read_options=_blocks()) as stream:
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
        null_values=["", "NA", "NaN", "nan", "null", "NULL", "None"],
    )
    try:
        with pa.csv.open_csv(
            source.path, read_options=_blocks(), convert_options=convert
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


def _parquet(source: Source, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    for path, constants in zip(source.parts, source.constants, strict=True):
        with pq.ParquetFile(path) as file:
            there = [column for column in columns if column in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=20_000, columns=there):
                table = pa.Table.from_batches([batch])
                for column in columns:
                    if column not in there:
                        value = pa.scalar(constants.get(column), pa.string())
                        table = table.append_column(column, pa.repeat(value, len(table)))
                yield table.select([*columns])


def _delta(path: Path) -> Source:
    if not DeltaTable.is_deltatable(str(path)):
        raise Unprocessable(f"{str(path)!r} is a folder, and no Delta table")
    table = DeltaTable(str(path))
    actions = table.get_add_actions(flatten=True)
    rows = pa.table(actions).to_pylist()
    rows.sort(key=lambda row: row["path"])
    root = Path(unquote(urlparse(table.table_uri).path))
    parts = tuple(root / unquote(row["path"]) for row in rows)
    constants = tuple(
        {
            name.removeprefix("partition."): None if value is None else str(value)
            for name, value in row.items()
            if name.startswith("partition.")
        }
        for row in rows
    )
    digest = hashlib.sha256("".join(_digest(part) for part in parts).encode()).hexdigest()
    n_rows = sum(row["num_records"] or 0 for row in rows)
    names = tuple(field.name for field in table.schema().fields)
    return Source(
        path=path,
        columns=names,
        digest=digest,
        n_rows=n_rows or None,
        parts=parts,
        constants=constants,
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
