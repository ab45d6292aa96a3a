"""Batches of rows: the unit that is spooled, sent and acknowledged."""

import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from seqwatch.copies import MAX_DEPTH

Row = Mapping[str, object]


class Kind(StrEnum):
    """The streams; also the last part of the route."""

    PREDICTIONS = "predictions"
    LABELS = "labels"
    EVENTS = "events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows under one id, as they are sent.

    The id is generated once. A batch that is sent again, even by the next process,
    carries the same id, and the API counts it once. `contract` is the digest
    of the contract under which the rows were logged, if it is known.
    """

    batch_id: str
    kind: Kind
    n_rows: int
    body: bytes
    contract: str | None = None

    def to_bytes(self) -> bytes:
        """Return the form that is spooled."""
        words = [self.batch_id, self.kind, str(self.n_rows)]
        if self.contract is not None:
            words.append(self.contract)
        return " ".join(words).encode() + b"\n" + self.body

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Batch":
        """Read the spooled form. Raises ValueError when it is something else."""
        head, _, body = stored.partition(b"\n")
        batch_id, kind, n_rows, *contract = head.decode().split(" ")
        return cls(
            batch_id=batch_id,
            kind=Kind(kind),
            n_rows=int(n_rows),
            body=body,
            contract=contract[0] if contract else None,
        )

    def split(self) -> "tuple[Batch, Batch]":
        """Return two batches of half the rows each, with ids derived from this one's.

        The result is always equal, so that rows that were acknowledged before a
        crash are not counted again after it.
        """
        rows = json.loads(self.body)["rows"]
        middle = len(rows) // 2
        first, second = (
            _under(
                f"{self.batch_id}{name}",
                self.kind,
                [encode(row) for row in part],
                self.contract,
            )
            for name, part in (("a", rows[:middle]), ("b", rows[middle:]))
        )
        return first, second

    def prediction_ids(self, faulty: frozenset[int]) -> list[str]:
        """Return the ids of the rows that are not in `faulty`."""
        rows = json.loads(self.body)["rows"]
        return [row["prediction_id"] for i, row in enumerate(rows) if i not in faulty]


def encode(row: Row) -> bytes:
    """Return one row as JSON.

    NaN becomes null, the API's missing value. An infinity is kept, so that the
    API puts the row into quarantine with a reason. Numpy arrays and numbers and
    aware datetimes are supported. With msgspec installed, rows without missing
    values are encoded by it, several times faster.

    Raises
    ------
    TypeError, ValueError, RecursionError
        When the row holds a value that JSON cannot represent, or itself.
    """
    if _fast is not None:
        try:
            encoded = _fast(row)
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001, S110 - the strict encoder names the error
            pass
        else:
            # msgspec writes null for infinity too: after a null the strict encoder is used.
            if b"null" not in encoded:
                return encoded
    try:
        text = _encode_strict(row)
    except ValueError:
        # Rare, so that only rows with NaN are copied.
        text = _encode_infinity(_without_nan(row))
    return text.encode()


def pack(kind: Kind, rows: Sequence[bytes], contract: str | None = None) -> Batch:
    """Return a batch of encoded rows, under a new id."""
    return _under(uuid4().hex, kind, rows, contract)


def _under(batch_id: str, kind: Kind, rows: Sequence[bytes], contract: str | None) -> Batch:
    body = b'{"batch_id":"%s","rows":[%s]}' % (batch_id.encode(), b",".join(rows))
    return Batch(batch_id=batch_id, kind=kind, n_rows=len(rows), body=body, contract=contract)


def rows_of(columns: Mapping[str, Sequence[object]]) -> Iterator[dict[str, object]]:
    """Turn columns of equal length into rows. Raises ValueError when they differ.

    Examples
    --------
    >>> list(rows_of({"prediction_id": ["a", "b"], "version": ["v1", "v1"]}))
    [{'prediction_id': 'a', 'version': 'v1'}, {'prediction_id': 'b', 'version': 'v1'}]
    """
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def checksum(stored: bytes) -> int:
    """Return the checksum of a spooled frame."""
    return zlib.crc32(stored)


def parts(rows: Sequence[bytes], max_bytes: int) -> Iterator[list[bytes]]:
    """Split so that no part passes `max_bytes`, unless one row alone does."""
    part: list[bytes] = []
    size = 0
    for row in rows:
        if part and size + len(row) > max_bytes:
            yield part
            part, size = [], 0
        part.append(row)
        size += len(row)
    if part:
        yield part


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError("a datetime without a zone")
        return value.isoformat()
    to_list = getattr(value, "tolist", None)  # numpy arrays and scalars, torch tensors
    if callable(to_list):
        return to_list()
    raise TypeError(f"cannot send a {type(value).__name__}")


def _without_nan(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    match value:
        case float():
            return None if math.isnan(value) else value
        case Mapping():
            return {key: _without_nan(inner, depth + 1) for key, inner in value.items()}
        case list() | tuple():
            return [_without_nan(inner, depth + 1) for inner in value]
        case str() | int() | None:
            return value
        case _:
            return _without_nan(_plain(value), depth + 1)


# Not as ASCII: half a surrogate pair then fails here, where it costs one row,
# and not at the API, where it would cost the batch.
_SHAPE: dict[str, Any] = {"ensure_ascii": False, "separators": (",", ":")}
_encode_strict = json.JSONEncoder(default=_plain, allow_nan=False, **_SHAPE).encode
_encode_infinity = json.JSONEncoder(**_SHAPE).encode
_fast: Callable[[object], bytes] | None = None
with suppress(ImportError):  # optional
    from msgspec.json import Encoder

    _fast = Encoder(enc_hook=_plain).encode
