"""Serialization of summaries.

Layout, little-endian: a 12-byte header (version, bytes per count, features,
bins, chunks), then one record per chunk: its hour as int64, the moments as
float64, the counts in the narrowest unsigned type that holds the largest.
"""

import struct
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from core.errors import Unprocessable
from monitors.summaries.summary import N_MOMENTS, Summary, in_order, merge

VERSION = 2
_HEADER = struct.Struct("<BBHHxxI")
_WIDTHS = (1, 2, 4)


@lru_cache(maxsize=256)  # to describe a record takes longer than to write one
def _record(width: int, n_features: int, n_bins: int) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("chunk", "<i8"),
            ("moments", "<f8", (n_features, N_MOMENTS)),
            ("counts", f"<u{width}", (n_features, n_bins)),
        ]
    )


def to_bytes(summary: Summary) -> bytes:
    """Return the summary as bytes; `from_bytes` gives it back exactly.

    Parameters
    ----------
    summary
        Any number of chunks.
    """
    largest = int(summary.counts.max(initial=0))
    width = next(width for width in _WIDTHS if largest < 1 << (8 * width))
    n_chunks, n_features, n_bins = summary.counts.shape
    records = np.empty(n_chunks, dtype=_record(width, n_features, n_bins))
    records["chunk"] = summary.chunks
    records["moments"] = summary.moments
    records["counts"] = summary.counts
    return _HEADER.pack(VERSION, width, n_features, n_bins, n_chunks) + records.tobytes()


def from_bytes(blob: bytes) -> Summary:
    """Return the summary that `to_bytes` wrote.

    Raises
    ------
    Unprocessable
        If the bytes are of another version, or cut short.

    Examples
    --------
    >>> from_bytes(b"no summary at all")
    Traceback (most recent call last):
    core.errors.Unprocessable: summary version 110 is not 2
    """
    return from_many([blob])


def from_many(blobs: Sequence[bytes]) -> Summary:
    """Return the merged summary of many cells, without a loop over their content.

    Parameters
    ----------
    blobs
        At least one, all on the same edges; several may hold the same hour.

    Raises
    ------
    ValueError
        If there is none.
    Unprocessable
        If one is of another version or cut short, or if they do not share
        their bins.
    """
    if not blobs:
        raise ValueError("no summaries to read")
    bodies: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for blob in blobs:
        bodies[blob[: _HEADER.size]].append(blob[_HEADER.size :])
    parts = [_read(header, parts) for header, parts in bodies.items()]
    if len({part.counts.shape[2] for part in parts}) > 1:
        raise Unprocessable("the summaries do not share their bins")
    return merge(in_order(parts[0]), *parts[1:])


def _read(header: bytes, bodies: Sequence[bytes]) -> Summary:
    if header[:1] != bytes([VERSION]):
        raise Unprocessable(f"summary version {header[0] if header else None} is not {VERSION}")
    if len(header) < _HEADER.size:
        raise Unprocessable("a summary is cut short")
    _, width, n_features, n_bins, n_chunks = _HEADER.unpack(header)
    if width not in _WIDTHS:
        raise Unprocessable(f"a summary counts in {width} bytes")
    record = _record(width, n_features, n_bins)
    if any(len(body) != n_chunks * record.itemsize for body in bodies):
        raise Unprocessable("a summary is cut short")
    records = np.frombuffer(b"".join(bodies), dtype=record)
    return Summary(
        chunks=records["chunk"].astype(np.int64),
        moments=records["moments"].astype(np.float64),
        counts=records["counts"].astype(np.uint32),
    )
