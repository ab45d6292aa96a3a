"""Turn the bodies of one group into tables: what can be kept, and what is wrong with the rest.

Bodies of the same model, feed and format are decoded together: fixed costs per
column are then paid once for a hundred small requests.
"""

import hashlib
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from core.errors import AppError, RowFault, TooLarge, Unprocessable
from services.ingest import arrow_rows, json_rows
from services.ingest.batch import Batch, Format
from services.ingest.check import Mask, check
from services.ingest.columns import Faults, printable

MAX_BATCH_ID = 200  # characters
# Arrow is compressed on the wire by some: how far a body may unpack.
MAX_UNPACKED = 8

# Most columns are empty or repeat themselves, and bytes that are not written need
# not be flushed. Threads would cost more in meeting than they save in work.
_COMPACT = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)

Content = Callable[[int], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One batch, decoded and checked, not yet stored.

    Attributes
    ----------
    no
        Its place in the group.
    digest
        SHA-256 of the body: what "the same batch again" means.
    rows
        Its rows in the table of its section, good and bad.
    n_kept
        How many of them are good.
    faults
        One for each row that broke the contract.
    contents
        Those rows as they were sent, in the same order, fit for JSON.
    """

    no: int
    batch: Batch
    batch_id: str
    digest: bytes
    rows: slice
    n_kept: int
    faults: tuple[RowFault, ...]
    contents: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The batches of one model and feed that were decoded together.

    `keep : (row,)` marks the rows of `table` that keep to the contract.
    """

    table: pa.Table
    keep: Mask
    drafts: tuple[Draft, ...]

    def payload(self, drafts: Sequence[Draft]) -> tuple[int, bytes]:
        """Return the number of good rows of some of its batches, and them as an IPC stream."""
        keep = self.keep
        if len(drafts) < len(self.drafts):
            keep = np.zeros_like(self.keep)
            for draft in drafts:
                keep[draft.rows] = self.keep[draft.rows]
        table = self.table if keep.all() else self.table.filter(pa.array(keep))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=_COMPACT) as stream:
            stream.write_table(table)
        return table.num_rows, sink.getvalue().to_pybytes()


@dataclass(slots=True, kw_only=True)
class _Piece:
    """The rows of one batch, before they are laid behind those of the others."""

    no: int
    batch: Batch
    batch_id: str
    digest: bytes
    n_rows: int
    positions: Sequence[int]
    content: Content
    faults: list[RowFault] = field(default_factory=list)


def decode(
    batches: Mapping[int, Batch], now: datetime, max_rows: int
) -> tuple[list[Section], dict[int, AppError]]:
    """Decode and check a group.

    Parameters
    ----------
    batches
        By their place in the group.
    now
        When they were received.
    max_rows
        Of one batch.

    Returns
    -------
    sections
        What can be stored.
    refused
        Why the other batches cannot, by their place in the group.
    """
    alike: dict[Any, dict[int, Batch]] = defaultdict(dict)
    for no, batch in batches.items():
        # By identity: hashing a contract costs more than splitting a group
        # in two in the moment in which it is read anew.
        alike[batch.model_id, batch.feed, batch.format, id(batch.contract)][no] = batch
    sections: list[Section] = []
    refused: dict[int, AppError] = {}
    for some in alike.values():
        read = _read_arrow if next(iter(some.values())).format is Format.ARROW else _read_json
        sections.extend(read(some, now, max_rows, refused))
    return sections, refused


def _read_json(
    batches: dict[int, Batch], now: datetime, max_rows: int, refused: dict[int, AppError]
) -> list[Section]:
    first = next(iter(batches.values()))
    reader = json_rows.reader(first.feed, first.contract)
    rows: list[Any] = []
    pieces = []
    for no, batch in batches.items():
        try:
            read = reader.read(batch.body)
            _check_size(len(read.rows) + len(read.faults), max_rows)
            digest, batch_id = _identify(batch, read.batch_id)
        except AppError as error:
            refused[no] = error
            continue
        pieces.append(
            _Piece(
                no=no,
                batch=batch,
                batch_id=batch_id,
                digest=digest,
                n_rows=len(read.rows),
                positions=read.positions,
                content=_JsonContent(batch.body),
                faults=read.faults,
            )
        )
        rows += read.rows
    if not pieces:
        return []
    faults = Faults()
    return [_section(reader.table(rows, now, faults), pieces, faults, now)]


def _read_arrow(
    batches: dict[int, Batch], now: datetime, max_rows: int, refused: dict[int, AppError]
) -> list[Section]:
    by_columns: dict[str, list[tuple[_Piece, pa.Table]]] = defaultdict(list)
    for no, batch in batches.items():
        try:
            raw = arrow_rows.read(batch.body, max_rows, MAX_UNPACKED * len(batch.body) + 2**20)
            _check_size(raw.num_rows, max_rows)
            digest, batch_id = _identify(batch, None)
        except AppError as error:
            refused[no] = error
            continue
        piece = _Piece(
            no=no,
            batch=batch,
            batch_id=batch_id,
            digest=digest,
            n_rows=raw.num_rows,
            positions=range(raw.num_rows),
            content=_ArrowContent(raw),
        )
        by_columns[raw.schema.to_string(show_schema_metadata=False)].append((piece, raw))
    sections = []
    for alike in by_columns.values():
        try:
            sections.append(_arrow_section(alike, now))
        except AppError as error:
            if len(alike) == 1:
                refused[alike[0][0].no] = error
                continue
            for one in alike:  # find the batch that the others must not suffer for
                try:
                    sections.append(_arrow_section([one], now))
                except AppError as its_error:
                    refused[one[0].no] = its_error
    return sections


def _arrow_section(alike: list[tuple[_Piece, pa.Table]], now: datetime) -> Section:
    first = alike[0][0].batch
    faults = Faults()
    raw = pa.concat_tables([table.replace_schema_metadata() for _, table in alike])
    table = arrow_rows.to_log(raw, first.feed, first.contract, now, faults)
    return _section(table, [piece for piece, _ in alike], faults, now)


def _section(table: pa.Table, pieces: list[_Piece], faults: Faults, now: datetime) -> Section:
    first = pieces[0].batch
    check(table, first.feed.kind, first.contract, now, faults)
    keep = np.ones(table.num_rows, dtype=np.bool_)
    bad = np.array(sorted(faults.by_row), dtype=np.int64)
    keep[bad] = False
    drafts, start = [], 0
    for piece in pieces:
        stop = start + piece.n_rows
        if len(bad):
            _note(piece, bad[(bad >= start) & (bad < stop)].tolist(), start, faults)
        drafts.append(_draft(piece, slice(start, stop), keep))
        start = stop
    return Section(table=table, keep=keep, drafts=tuple(drafts))


def _note(piece: _Piece, bad: list[int], start: int, faults: Faults) -> None:
    for row in bad:
        name, reason = faults.by_row[row]
        position = piece.positions[row - start]
        piece.faults.append(RowFault(row=position, field=name, reason=reason))


def _draft(piece: _Piece, rows: slice, keep: Mask) -> Draft:
    ordered = sorted(piece.faults, key=lambda fault: fault.row)
    return Draft(
        no=piece.no,
        batch=piece.batch,
        batch_id=piece.batch_id,
        digest=piece.digest,
        rows=rows,
        n_kept=int(np.count_nonzero(keep[rows])),
        faults=tuple(ordered),
        contents=tuple(piece.content(fault.row) for fault in ordered),
    )


def _check_size(n_rows: int, max_rows: int) -> None:
    if n_rows == 0:
        raise Unprocessable("a batch needs at least one row")
    if n_rows > max_rows:
        raise TooLarge(f"more than {max_rows} rows in one batch")


def _identify(batch: Batch, inside: str | None) -> tuple[bytes, str]:
    digest = hashlib.sha256(batch.body).digest()
    batch_id = inside if inside is not None else batch.batch_id
    if batch_id is None:
        return digest, digest.hex()
    if not 0 < len(batch_id) <= MAX_BATCH_ID or printable(batch_id) != batch_id:
        raise Unprocessable(f"batch_id: 1 to {MAX_BATCH_ID} printable characters")
    return digest, batch_id


class _JsonContent:
    """Reads the bad rows of a body again, as they were sent."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._rows: list[object] | None = None

    def __call__(self, row: int) -> dict[str, Any]:
        if self._rows is None:
            _, self._rows = json_rows.raw_rows(self._body)
        content = plain(self._rows[row])
        return content if isinstance(content, dict) else {"row": content}


class _ArrowContent:
    """Reads the bad rows of a table again, as they were sent."""

    def __init__(self, raw: pa.Table) -> None:
        self._raw = raw

    def __call__(self, row: int) -> dict[str, Any]:
        return plain(self._raw.slice(row, 1).to_pylist()[0])  # type: ignore[no-any-return]


def plain(value: Any) -> Any:
    """Return what JSON and every database can carry of a value; null for the rest.

    Examples
    --------
    >>> plain({"load": [1.0, float("nan")], "note": b"x"})
    {'load': [1.0, None], 'note': None}
    """
    match value:
        case dict():
            return {plain(str(name)): plain(each) for name, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case str():
            return value.encode(errors="replace").decode().replace("\0", "?")
        case datetime():
            return value.isoformat()
        case _:
            is_plain = value is None or (
                isinstance(value, int | float) and abs(value) <= sys.float_info.max
            )
            return value if is_plain else None
