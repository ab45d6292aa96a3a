"""Compressed bodies: unpacked piece by piece, and never further than is allowed."""

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


# Arrow takes zlib for gzip; a zstd stream may also begin with a frame to skip.
_BEGINS = {Packing.GZIP: b"\x1f\x8b", Packing.ZSTD: b""}


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
    >>> import gzip
    >>> unpack(gzip.compress(b"[1, 2]"), Packing.GZIP, 100)
    b'[1, 2]'
    """
    if not body or not body.startswith(_BEGINS[packing]):
        raise Malformed(f"the body is not a complete {packing} stream")
    by_ratio = max(ALWAYS_ALLOWED, MAX_RATIO * len(body))
    pieces, n_bytes = [], 0
    try:
        # Arrow reads any number of members or frames in one pass.
        with pa.CompressedInputStream(pa.BufferReader(body), packing.value) as stream:
            while piece := stream.read(_PIECE):
                n_bytes += len(piece)
                if n_bytes > max_bytes:
                    raise TooLarge(f"a body may have {max_bytes} bytes, unpacked")
                if n_bytes > by_ratio:
                    raise TooLarge(f"the body unpacks to more than {MAX_RATIO} times its size")
                pieces.append(piece)
    except OSError:
        raise Malformed(f"the body is not a complete {packing} stream") from None
    return b"".join(pieces)
