"""Size of an Arrow stream after unpacking, from its headers, before it is unpacked.

A few kilobytes of zstd unpack to gigabytes. Arrow's reader unpacks a batch whole before it can
be asked for its size, so the sizes are summed here first: each compressed buffer begins with
its own. An uncompressed stream may be a bomb too: a hundred columns may refer to the same
bytes, which are a hundred times as many once they are copied. The layout is that of Message.fbs
and of the IPC format in Arrow's documentation.
"""

import struct
from collections.abc import Iterator

from core.errors import Malformed, TooLarge

_I32, _I64, _U16, _U32 = (struct.Struct(form) for form in ("<i", "<q", "<H", "<I"))
_CONTINUED = 0xFFFFFFFF
_DICTIONARY, _RECORDS = 2, 3  # MessageHeader


def refuse_bombs(body: bytes, max_bytes: int) -> None:
    """Refuse a stream that would unpack to more than so many bytes.

    Raises
    ------
    TooLarge
        If the declared sizes of its buffers add up to more.
    Malformed
        If its headers point outside of it.
    """
    total = 0
    try:
        for size in _sizes(body):
            total += size
            if total > max_bytes:
                raise TooLarge(f"the batch unpacks to more than {max_bytes} bytes")
    except (struct.error, IndexError):
        raise Malformed("the body is not a complete Arrow IPC stream") from None


def _sizes(body: bytes) -> Iterator[int]:
    at = 0
    while at + 8 <= len(body):
        (n_header,) = _U32.unpack_from(body, at)
        at += 4
        if n_header == _CONTINUED:
            (n_header,) = _U32.unpack_from(body, at)
            at += 4
        if n_header == 0:
            return  # the end of the stream
        message = _Table.root(body, at)
        start = at + n_header
        kind = message.byte(1)
        if kind in (_DICTIONARY, _RECORDS):
            records = message.table(2)
            if kind == _DICTIONARY:
                records = records.table(1)
            is_compressed = records.has(3)
            yield from _unpacked(body, start, records) if is_compressed else _plain(records)
        n_body = message.int64(3)
        if n_body < 0:
            raise struct.error
        at = start + n_body


def _plain(records: "_Table") -> Iterator[int]:
    lengths = records.pairs(2)[1::2]
    if lengths and min(lengths) < 0:
        raise struct.error
    yield sum(lengths)


def _unpacked(body: bytes, start: int, records: "_Table") -> Iterator[int]:
    pairs = records.pairs(2)
    for offset, length in zip(pairs[::2], pairs[1::2], strict=True):
        if length == 0:
            continue
        (size,) = _I64.unpack_from(body, _within(start + offset, body))
        yield length if size < 0 else size  # -1: left as it was


def _within(at: int, body: bytes) -> int:
    """Return an offset inside the body, or raise: a negative one would count from its end."""
    if not 0 <= at < len(body):
        raise IndexError
    return at


class _Table:
    """One table of a flatbuffer: fields are found through a list of offsets."""

    def __init__(self, body: bytes, at: int) -> None:
        self._body, self._at = body, _within(at, body)
        (back,) = _I32.unpack_from(body, self._at)
        self._fields = _within(self._at - back, body)
        (self._n_bytes,) = _U16.unpack_from(body, self._fields)

    @classmethod
    def root(cls, body: bytes, at: int) -> "_Table":
        """Return the outermost table of a buffer that begins there."""
        return cls(body, at + _U32.unpack_from(body, _within(at, body))[0])

    def _place(self, field: int) -> int | None:
        slot = 4 + 2 * field
        if slot + 2 > self._n_bytes:
            return None
        (offset,) = _U16.unpack_from(self._body, self._fields + slot)
        return _within(self._at + offset, self._body) if offset else None

    def has(self, field: int) -> bool:
        """Whether a field is there."""
        return self._place(field) is not None

    def byte(self, field: int) -> int:
        """Return a small number; 0 when it is left out."""
        place = self._place(field)
        return 0 if place is None else self._body[place]

    def int64(self, field: int) -> int:
        """Return a number; 0 when it is left out."""
        place = self._place(field)
        return 0 if place is None else int(_I64.unpack_from(self._body, place)[0])

    def table(self, field: int) -> "_Table":
        """Return a table that must be there."""
        place = self._place(field)
        if place is None:
            raise IndexError
        return _Table(self._body, place + _U32.unpack_from(self._body, place)[0])

    def pairs(self, field: int) -> tuple[int, ...]:
        """Return the pairs of numbers of a vector, one pair behind the other."""
        place = self._place(field)
        if place is None:
            return ()
        start = _within(place + _U32.unpack_from(self._body, place)[0], self._body)
        (n,) = _U32.unpack_from(self._body, start)
        if start + 4 + 16 * n > len(self._body):
            raise IndexError
        return struct.unpack_from(f"<{2 * n}q", self._body, start + 4)
