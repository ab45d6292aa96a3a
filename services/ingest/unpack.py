"""Compressed bodies: unpacked piece by piece, and never further than is allowed."""

import zlib
from collections.abc import Callable, Iterator
from enum import StrEnum

import pyarrow as pa

from core.errors import Malformed, TooLarge

# A body that unpacks to more than so many times its size holds nothing but repetition.
# Rows have ids and times, and compress to a twentieth.
MAX_RATIO = 200
ALWAYS_ALLOWED = 2**20  # bytes; a few rows may well repeat themselves
_PIECE = 2**18  # bytes that are unpacked at once


class Packing(StrEnum):
    """The content encodings that we read."""

    GZIP = "gzip"
    ZSTD = "zstd"


def unpack(body: bytes, packing: Packing, max_bytes: int) -> bytes:
    """Return what was compressed.

    Parameters
    ----------
    body
        As it came over the wire.
    packing
        What the sender says it is.
    max_bytes
        Of the result. Never more than one piece beyond it is held.

    Raises
    ------
    TooLarge
        If it unpacks to more, or is suspiciously small for what it holds.
    Malformed
        If it is something else, or ends early.

    Examples
    --------
    >>> unpack(zlib.compress(b"[1, 2]", wbits=31), Packing.GZIP, 100)
    b'[1, 2]'
    """
    by_ratio = max(ALWAYS_ALLOWED, MAX_RATIO * len(body))
    pieces, n_bytes = [], 0
    try:
        for piece in _READERS[packing](body):
            n_bytes += len(piece)
            if n_bytes > max_bytes:
                raise TooLarge(f"a body may have {max_bytes} bytes, unpacked")
            if n_bytes > by_ratio:
                raise TooLarge(f"the body unpacks to more than {MAX_RATIO} times its size")
            pieces.append(piece)
    except (zlib.error, OSError, EOFError):
        raise Malformed(f"the body is not a complete {packing} stream") from None
    return b"".join(pieces)


def _gzip(body: bytes) -> Iterator[bytes]:
    rest = body
    while rest or rest is body:  # several members may follow each other
        member = zlib.decompressobj(wbits=31)
        piece = member.decompress(rest, _PIECE)
        while piece:
            yield piece
            piece = member.decompress(member.unconsumed_tail, _PIECE)
        if not member.eof:
            raise EOFError
        rest = member.unused_data


def _zstd(body: bytes) -> Iterator[bytes]:
    if not body:
        raise EOFError
    with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
        while piece := stream.read(_PIECE):
            yield piece


_READERS: dict[Packing, Callable[[bytes], Iterator[bytes]]] = {
    Packing.GZIP: _gzip,
    Packing.ZSTD: _zstd,
}
