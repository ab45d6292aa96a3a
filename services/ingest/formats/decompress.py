"""Unpacking of compressed bodies, piece by piece, up to a size limit."""

from enum import StrEnum

import pyarrow as pa

from core.errors import Malformed, TooLarge

# A body that unpacks to more than this multiple of its size holds only repetition.
# Rows have ids and times, and compress to a twentieth.
MAX_RATIO = 200
ALWAYS_ALLOWED = 2**20  # bytes; a few rows may be equal
_PIECE = 2**18  # bytes that are unpacked at once


class Packing(StrEnum):
    """Supported content encodings."""

    GZIP = "gzip"
    ZSTD = "zstd"


# Arrow takes zlib for gzip; a zstd stream may also begin with a frame to skip.
_BEGINS = {Packing.GZIP: b"\x1f\x8b", Packing.ZSTD: b""}


def unpack(body: bytes, packing: Packing, max_bytes: int) -> bytes:
    """Return the unpacked body.

    Parameters
    ----------
    body
        The body as received.
    packing
        Its declared content encoding.
    max_bytes
        Limit of the result. At most one piece beyond it is held in memory.

    Raises
    ------
    TooLarge
        If it unpacks to more, or its compression ratio is too high.
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
