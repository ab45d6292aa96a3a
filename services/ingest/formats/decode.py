"""Decode the bodies of one group into tables of good rows, and faults of the others.

Bodies of the same model, feed and format are decoded together: fixed costs per
column are then paid once for a hundred small requests.
"""

import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import AppError, NotInstalled, RowFault, Unprocessable
from core.schema.names import printable
from core.schema.rows import Kind
from services.ingest.batch import Batch, Feed, Format
from services.ingest.formats import arrow_rows, encodings, exact_numbers, json_rows
from services.ingest.formats.columns import Faults, Ints, Mask, check_size, mask
from services.ingest.validation import contract_violations, count_unusable, masking, redaction
from services.ingest.validation.rejected_rows import ArrowContent, RowContent
from services.ingest.validation.validate import check

MAX_BATCH_ID = 200  # characters
# Largest unpacked size of an Arrow body, which may be compressed.
MAX_UNPACKED = 8

_ENCODINGS = {Format.JSON: encodings.JSON, Format.MSGPACK: encodings.MSGPACK}

_NO_MISMATCH = contract_violations.Counts()

Content = Callable[[int], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One batch, decoded and checked, not yet stored.

    Attributes
    ----------
    no
        Its index in the group.
    digest
        SHA-256 of the body, by which a repeated batch is recognised.
    rows
        Its rows in the table of its section, good and bad.
    positions
        Their places in the body.
    n_kept
        How many of them are good.
    faults
        One for each row that broke the contract.
    contents
        Those rows as they were sent, in the same order, as JSON values; masked if sensitive.
    duplicates
        Rows that repeat the id of a good row before them.
    mismatches
        How many rows did not fit the contract, by event day and reason.
    unusable_answers
        How many refused rows were answers that cannot be used.
    """

    no: int
    batch: Batch
    batch_id: str
    digest: bytes
    rows: slice
    positions: Sequence[int]
    n_kept: int
    faults: tuple[RowFault, ...]
    contents: tuple[dict[str, Any], ...]
    duplicates: tuple[int, ...] = ()
    mismatches: contract_violations.Counts = field(default_factory=contract_violations.Counts)
    unusable_answers: count_unusable.Counts = field(default_factory=count_unusable.Counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The batches of one model and feed that were decoded together.

    `keep : (row,)` marks the rows of `table` that conform to the contract.
    """

    table: pa.Table
    keep: Mask
    drafts: tuple[Draft, ...]

    def kept(self, drafts: Sequence[Draft]) -> pa.Table:
        """Return the good rows of some of its batches."""
        keep = self.keep
        if sum(draft.rows.stop - draft.rows.start for draft in drafts) < self.table.num_rows:
            keep = np.zeros_like(self.keep)
            for draft in drafts:
                keep[draft.rows] = self.keep[draft.rows]
        return self.table if keep.all() else self.table.filter(pa.array(keep))


@dataclass(slots=True, kw_only=True)
class _Piece:
    """The rows of one batch, before they are concatenated with those of the others."""

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
        By their index in the group.
    now
        When they were received.
    max_rows
        Limit for one batch.

    Returns
    -------
    sections
        The rows that can be stored.
    refused
        The errors of the other batches, by their index in the group.
    """
    alike: dict[Any, dict[int, Batch]] = defaultdict(dict)
    for no, batch in batches.items():
        # By identity: hashing a contract costs more than splitting a group
        # in two in the moment in which it is read anew.
        alike[batch.model_id, batch.feed, batch.format, id(batch.terms)][no] = batch
    sections: list[Section] = []
    refused: dict[int, AppError] = {}
    for some in alike.values():
        read = _read_arrow if next(iter(some.values())).format is Format.ARROW else _read_rows
        try:
            sections.extend(read(some, now, max_rows, refused))
        except NotInstalled as error:  # the task of the model
            refused |= dict.fromkeys(some, error)
    shown = {no: redaction.error(why, batches[no].terms) for no, why in refused.items()}
    return sections, shown


def _read_rows(
    batches: dict[int, Batch], now: datetime, max_rows: int, refused: dict[int, AppError]
) -> list[Section]:
    first = next(iter(batches.values()))
    reader = json_rows.reader(first.feed, first.terms, _ENCODINGS[first.format])
    faults = Faults()
    table = json_rows.Growing(reader, now, faults)
    pieces = []
    for no, batch in batches.items():
        try:
            read = reader.read(batch.body, max_rows)
            _check_size(read.n_rows + len(read.faults), max_rows)
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
                n_rows=read.n_rows,
                positions=read.positions,
                content=RowContent(reader, batch.body, max_rows),
                faults=read.faults,
            )
        )
        table.add(read)
    return [_section(table.whole(), pieces, faults, now)] if pieces else []


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
            content=ArrowContent(raw),
        )
        by_columns[arrow_rows.layout(arrow_rows.head_of(batch.body), raw.schema)].append(
            (piece, raw)
        )
    sections = []
    for alike in by_columns.values():
        try:
            sections.append(_arrow_section(alike, now))
        except AppError as error:
            if len(alike) == 1:
                refused[alike[0][0].no] = error
                continue
            for one in alike:  # find the invalid batch, so that the others are decoded
                try:
                    sections.append(_arrow_section([one], now))
                except AppError as its_error:
                    refused[one[0].no] = its_error
    return sections


def _arrow_section(alike: list[tuple[_Piece, pa.Table]], now: datetime) -> Section:
    first = alike[0][0].batch
    faults = Faults()
    raw = pa.concat_tables([table.replace_schema_metadata() for _, table in alike])
    table = arrow_rows.to_log(raw, first.feed, first.terms, now, faults)
    return _section(table, [piece for piece, _ in alike], faults, now)


def _section(table: pa.Table, pieces: list[_Piece], faults: Faults, now: datetime) -> Section:
    first = pieces[0].batch
    starts = [0, *accumulate(piece.n_rows for piece in pieces)]
    for piece, start in zip(pieces, starts, strict=False):
        if piece.batch.faults:
            _note_known(piece, start, faults)
    table = _with_trace_ids(table, pieces)
    check(table, first.feed.kind, first.terms, now, faults)
    if faults.large and first.format is not Format.ARROW:
        _check_integers(pieces, starts, faults)
    keep = np.ones(table.num_rows, dtype=np.bool_)
    bad = np.array(sorted(faults.by_row), dtype=np.int64)
    keep[bad] = False
    repeated = _repeated(table, pieces, starts, keep)
    keep[repeated] = False
    drafts = []
    for piece, start in zip(pieces, starts, strict=False):
        rows = slice(start, start + piece.n_rows)
        if len(bad):
            _note(piece, bad[(bad >= rows.start) & (bad < rows.stop)].tolist(), start, faults)
        duplicates: tuple[int, ...] = ()
        if len(repeated):
            own = repeated[(repeated >= rows.start) & (repeated < rows.stop)] - start
            duplicates = tuple(piece.positions[row] for row in own.tolist())
        foreign = _foreign(piece.batch, table, rows, keep, now)
        drafts.append(_draft(piece, rows, keep, duplicates, foreign, now))
    kept = masking.masked(table, first.feed.kind, first.terms)
    return Section(table=kept, keep=keep, drafts=tuple(drafts))


def _check_integers(pieces: list[_Piece], starts: list[int], faults: Faults) -> None:
    """Refuse integers that were rounded when they were read: the body still has them."""
    for row in sorted(faults.large):
        place = bisect_right(starts, row) - 1
        piece = pieces[place]
        exact_numbers.note(row, piece.content(piece.positions[row - starts[place]]), faults)


def _with_trace_ids(table: pa.Table, pieces: list[_Piece]) -> pa.Table:
    """Give each row without a trace id that of its request."""
    ids = [piece.batch.trace_id for piece in pieces]
    if not any(ids) or "trace_id" not in table.column_names:
        return table
    counts = [piece.n_rows for piece in pieces]
    whose = pa.array(np.repeat(np.arange(len(ids)), counts))
    of_request = pa.array(ids, pa.string()).take(whose)
    place = table.column_names.index("trace_id")
    filled = pc.coalesce(table["trace_id"].combine_chunks(), of_request)
    return table.set_column(place, table.schema.field(place), filled)


def _repeated(table: pa.Table, pieces: list[_Piece], starts: list[int], keep: Mask) -> Ints:
    """Return the good rows whose id an earlier good row of their batch has."""
    none = np.empty(0, dtype=np.int64)
    if pieces[0].batch.feed.kind is not Kind.PREDICTIONS:
        return none  # labels may be corrected; ids of events are unique in all batches
    ids = table["prediction_id"].combine_chunks()
    batches = zip(pieces, starts, strict=False)
    if all(
        piece.n_rows < 2 or _are_distinct(ids.slice(start, piece.n_rows))
        for piece, start in batches
    ):
        return none
    shadow = mask(table["shadow"].combine_chunks())
    found = []
    for piece, start in zip(pieces, starts, strict=False):
        rows = start + np.flatnonzero(keep[start : start + piece.n_rows])
        codes = ids.take(pa.array(rows)).dictionary_encode().indices.to_numpy()
        codes = 2 * codes.astype(np.int64) + shadow[rows]  # served and shadow may share an id
        is_first = np.zeros(len(codes), dtype=np.bool_)
        is_first[np.unique(codes, return_index=True)[1]] = True
        found.append(rows[~is_first])
    return np.concatenate([none, *found])


def _are_distinct(ids: pa.Array) -> bool:
    """Return whether all ids are distinct. Ascending ids, the usual case, are found fast."""
    ascend = pc.all(pc.less(ids.slice(0, len(ids) - 1), ids.slice(1)), skip_nulls=False)
    return ascend.as_py() is True or pc.count_distinct(ids).as_py() == len(ids)


def _note_known(piece: _Piece, start: int, faults: Faults) -> None:
    """Give faults that are known before reading precedence over those of the reader."""
    known = {fault.row: fault for fault in piece.batch.faults}
    piece.faults = [known.get(fault.row, fault) for fault in piece.faults]
    for place, position in enumerate(piece.positions):
        if position in known:
            faults.add(start + place, known[position].field, known[position].reason)


def _note(piece: _Piece, bad: list[int], start: int, faults: Faults) -> None:
    for row in bad:
        name, reason = faults.by_row[row]
        position = piece.positions[row - start]
        piece.faults.append(RowFault(row=position, field=name, reason=reason))


def _foreign(
    batch: Batch, table: pa.Table, rows: slice, keep: Mask, now: datetime
) -> contract_violations.Counts:
    """Count the good rows of a batch whose contract is not declared here."""
    is_known = batch.contract_digest is None or batch.contract_digest in batch.terms.digests
    if is_known or batch.feed.kind is Kind.EVENTS:  # which have no contract
        return _NO_MISMATCH
    own = table.slice(rows.start, rows.stop - rows.start).filter(pa.array(keep[rows]))
    if not own.num_rows:
        return _NO_MISMATCH
    return contract_violations.of_foreign(own, batch.feed.kind, now)


def _draft(
    piece: _Piece,
    rows: slice,
    keep: Mask,
    duplicates: tuple[int, ...],
    mismatches: contract_violations.Counts,
    now: datetime,
) -> Draft:
    draft = Draft(
        no=piece.no,
        batch=piece.batch,
        batch_id=piece.batch_id,
        digest=piece.digest,
        rows=rows,
        positions=piece.positions,
        n_kept=int(np.count_nonzero(keep[rows])),
        faults=(),
        contents=(),
        duplicates=duplicates,
        mismatches=mismatches,
        unusable_answers=count_unusable.NONE,
    )
    if not piece.faults:  # nearly always, and a group has hundreds of them
        return draft
    ordered = sorted(piece.faults, key=lambda fault: fault.row)
    contents = [piece.content(fault.row) for fault in ordered]
    terms, kind = piece.batch.terms, piece.batch.feed.kind
    if kind is not Kind.EVENTS:
        mismatches = mismatches + contract_violations.of_refused(ordered, contents, now)
    return replace(
        draft,
        faults=tuple(redaction.fault(fault, kind, terms) for fault in ordered),
        contents=tuple(redaction.content(row, terms) for row in contents),
        mismatches=mismatches,
        unusable_answers=count_unusable.of_refused(ordered, contents, kind, terms, now),
    )


def _check_size(n_rows: int, max_rows: int) -> None:
    if n_rows == 0:
        raise Unprocessable("a batch needs at least one row")
    check_size(n_rows, max_rows)


def _identify(batch: Batch, inside: str | None) -> tuple[bytes, str]:
    hashed = hashlib.sha256(batch.body)
    if batch.feed is Feed.REFERENCE:  # the same rows as predictions are another batch
        hashed.update(b" as reference")
    digest = hashed.digest()
    batch_id = inside if inside is not None else batch.batch_id
    if batch_id is None:
        return digest, digest.hex()
    if not 0 < len(batch_id) <= MAX_BATCH_ID or printable(batch_id) != batch_id:
        raise Unprocessable(f"batch_id: 1 to {MAX_BATCH_ID} printable characters")
    return digest, batch_id
