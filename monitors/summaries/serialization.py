"""Serialization of summaries.

Layout, little-endian: a 12-byte header (version, bytes per count, features,
bins, chunks), then one record per chunk: its hour as int64, the moments as
float64, the counts in the narrowest unsigned type that holds the largest.
"""

import struct
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.errors import Unprocessable
from monitors.summaries.summary import N_MOMENTS, Ints, Summary, in_order, merge

VERSION = 2
_HEADER = struct.Struct("<BBHHxxI")
_WIDTHS = (1, 2, 4)
_SHAPE = slice(2, 6)  # features and bins in the header
_OF_ROW = 1 << 40  # above any chunk: sets the rows apart that are merged in one go

Records: TypeAlias = NDArray[np.void]


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
    return _written(_records(summary, _width(largest)))


def _width(largest: int) -> int:
    return next(width for width in _WIDTHS if largest < 1 << (8 * width))


def _records(summary: Summary, width: int) -> Records:
    n_chunks, n_features, n_bins = summary.counts.shape
    records = np.empty(n_chunks, dtype=_record(width, n_features, n_bins))
    records["chunk"] = summary.chunks
    records["moments"] = summary.moments
    records["counts"] = summary.counts
    return records


def _written(records: Records) -> bytes:
    n_features, n_bins = records.dtype["counts"].shape
    width = records.dtype["counts"].base.itemsize
    return _HEADER.pack(VERSION, width, n_features, n_bins, records.size) + records.tobytes()


def added(rows: Sequence[tuple[bytes, Summary]]) -> list[bytes]:
    """Return stored summaries with what was seen added to each, all in one go.

    Parameters
    ----------
    rows
        As `to_bytes` returned it, and what is new of the same hours.

    Raises
    ------
    Unprocessable
        If one is of another version or cut short, or has other bins.
    """
    alike: defaultdict[tuple[bytes, tuple[int, ...]], list[int]] = defaultdict(list)
    for place, (old, new) in enumerate(rows):
        alike[old[_SHAPE], new.counts.shape[1:]].append(place)
    found = dict[int, bytes]()
    for places in alike.values():
        of = _added([rows[place][0] for place in places], [rows[place][1] for place in places])
        found |= zip(places, of, strict=True)
    return [found[place] for place in range(len(rows))]


def _added(olds: Sequence[bytes], news: Sequence[Summary]) -> list[bytes]:
    """Add to rows of one shape: the chunks of each are set apart from those of the others."""
    parts = [_apart(part, np.array(places)) for part, places in _parts(olds)]
    new = Summary(
        chunks=np.concatenate([one.chunks for one in news]),
        moments=np.concatenate([one.moments for one in news]),
        counts=np.concatenate([one.counts for one in news]),
    )
    sizes = [one.chunks.size for one in news]
    parts.append(_apart(new, np.repeat(np.arange(len(news)), sizes)))
    whole = _merged(parts)
    ends = np.searchsorted(whole.chunks, np.arange(len(news) + 1) * _OF_ROW).tolist()
    largest = whole.counts.max(axis=(1, 2), initial=0).tolist()
    whole = replace(whole, chunks=whole.chunks % _OF_ROW)
    widths = [_width(max(largest[start:end])) for start, end in pairwise(ends)]
    records = {width: _records(whole, width) for width in {*widths}}
    return [
        _written(records[width][start:end])
        for width, (start, end) in zip(widths, pairwise(ends), strict=True)
    ]


def _apart(part: Summary, rows: Ints) -> Summary:
    """Return chunks of some rows, as many of each, as they follow those of the rows before."""
    offsets = np.repeat(rows, part.chunks.size // rows.size) * _OF_ROW
    return replace(part, chunks=part.chunks + offsets)


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
    first, *others = [part for part, _ in _parts(blobs)]
    return _merged([in_order(first), *others])


def _parts(blobs: Sequence[bytes]) -> list[tuple[Summary, list[int]]]:
    """Read rows, those of one header in one go, with their places."""
    places: defaultdict[bytes, list[int]] = defaultdict(list)
    for place, blob in enumerate(blobs):
        places[blob[: _HEADER.size]].append(place)
    return [
        (_read(header, [blobs[place][_HEADER.size :] for place in own]), own)
        for header, own in places.items()
    ]


def _merged(parts: Sequence[Summary]) -> Summary:
    if len({part.counts.shape[2] for part in parts}) > 1:
        raise Unprocessable("the summaries do not share their bins")
    return merge(*parts)


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
