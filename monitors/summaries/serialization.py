"""Serialization of summaries.

Layout, little-endian: a 12-byte header (version, bits per count, features, bins, chunks),
the hour of each chunk as int64, the counts in the fewest bits of 4, 8, 16 and 32 that hold
the largest, and the moments as float64, moment by moment. The bytes of sign, exponent and
first digits come before the others: apart, they are compressed better. Version 2 was one
record per chunk (hour, moments, counts) and is still read.
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
from monitors.summaries.summary import N_MOMENTS, Counts, Ints, Summary, in_order, merge

Bytes: TypeAlias = NDArray[np.uint8]
Shape: TypeAlias = tuple[int, int, int]  # chunks, features, bins

VERSION, RECORDS = 3, 2
_HEADER = struct.Struct("<BBHHxxI")
_HALF, _WHOLE = 4, (8, 16, 32)  # bits of a count: half a byte, and whole bytes
_SHAPE = slice(2, 6)  # features and bins in the header
_OF_ROW = 1 << 40  # above any chunk: sets the rows apart that are merged in one go
_HIGH, _N_LOW = (7, 6), 6  # bytes of a float64: sign, exponent, first digits; and the others


@lru_cache(maxsize=256)  # to describe a record takes longer than to read one
def _record(bits: int, n_features: int, n_bins: int) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("chunk", "<i8"),
            ("moments", "<f8", (n_features, N_MOMENTS)),
            ("counts", f"<u{bits // 8}", (n_features, n_bins)),
        ]
    )


def to_bytes(summary: Summary) -> bytes:
    """Return the summary as bytes; `from_bytes` gives it back exactly.

    Parameters
    ----------
    summary
        Any number of chunks.
    """
    return _written(summary, 1, _bits(int(summary.counts.max(initial=0))))[0]


def _bits(largest: int) -> int:
    return next(bits for bits in (_HALF, *_WHOLE) if not largest >> bits)


def _written(summary: Summary, n: int, bits: int) -> list[bytes]:
    """Return `n` rows with as many chunks each, which follow one another."""
    n_all, n_features, n_bins = summary.counts.shape
    n_chunks = n_all // n
    by_moment = summary.moments.reshape(n, n_chunks, n_features, N_MOMENTS)
    moments = np.ascontiguousarray(by_moment.transpose(0, 3, 1, 2), dtype="<f8")
    of_moments = moments.view(np.uint8).reshape(n, n_chunks * n_features * N_MOMENTS, 8)
    parts = (
        summary.chunks.astype("<i8").view(np.uint8).reshape(n, 8 * n_chunks),
        _packed(summary.counts.reshape(n, n_chunks * n_features * n_bins), bits),
        *(of_moments[..., which] for which in _HIGH),
        of_moments[..., :_N_LOW].reshape(n, of_moments.shape[1] * _N_LOW),
    )
    header = _HEADER.pack(VERSION, bits, n_features, n_bins, n_chunks)
    return [header + body.tobytes() for body in np.concatenate(parts, axis=1)]


def _packed(counts: Counts, bits: int) -> Bytes:
    """Return the bytes of counts, one row of them in each row."""
    n, n_counts = counts.shape
    if bits != _HALF:
        return counts.astype(f"<u{bits // 8}").view(np.uint8)
    pairs = np.zeros((n, n_counts + n_counts % 2), np.uint8)
    pairs[:, :n_counts] = counts
    return np.asarray(pairs[:, ::2] | pairs[:, 1::2] << _HALF)


def _unpacked(stored: Bytes, bits: int, n: int) -> Counts:
    """Return `n` counts of each body, shape (body, n)."""
    if bits != _HALF:
        found = np.frombuffer(stored.tobytes(), f"<u{bits // 8}").astype(np.uint32)
        return found.reshape(len(stored), n)
    pairs = np.empty((*stored.shape, 2), np.uint32)
    pairs[..., 0], pairs[..., 1] = stored & (1 << _HALF) - 1, stored >> _HALF
    return pairs.reshape(len(stored), -1)[:, :n]


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
    alike: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for row, (start, end) in enumerate(pairwise(ends)):
        alike[end - start, _bits(max(largest[start:end], default=0))].append(row)
    found = dict[int, bytes]()
    for (n_chunks, bits), rows in alike.items():
        at = np.array(ends)[rows][:, np.newaxis] + np.arange(n_chunks)
        found |= zip(rows, _written(whole.at(at.ravel()), len(rows), bits), strict=True)
    return [found[row] for row in range(len(news))]


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
    core.errors.Unprocessable: summary version 110 is not 3
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
    version = header[0] if header else None
    if version not in (VERSION, RECORDS):
        raise Unprocessable(f"summary version {version} is not {VERSION}")
    if len(header) < _HEADER.size:
        raise Unprocessable("a summary is cut short")
    _, size, n_features, n_bins, n_chunks = _HEADER.unpack(header)
    is_records = version == RECORDS
    bits = 8 * size if is_records else size  # records counted in bytes
    if bits not in (_WHOLE if is_records else (_HALF, *_WHOLE)):
        raise Unprocessable(f"a summary counts in {bits} bits")
    n_counts = n_features * n_bins * n_chunks
    length = 8 * n_chunks * (1 + n_features * N_MOMENTS) + -(-n_counts * bits // 8)
    if any(len(body) != length for body in bodies):
        raise Unprocessable("a summary is cut short")
    content = b"".join(bodies)
    if not is_records:
        stored = np.frombuffer(content, np.uint8).reshape(len(bodies), length)
        return _columns(stored, bits, (n_chunks, n_features, n_bins))
    records = np.frombuffer(content, dtype=_record(bits, n_features, n_bins))
    return Summary(
        chunks=records["chunk"].astype(np.int64),
        moments=records["moments"].astype(np.float64),
        counts=records["counts"].astype(np.uint32),
    )


def _columns(bodies: Bytes, bits: int, shape: Shape) -> Summary:
    """Read bodies of one shape, one in each row of an array."""
    n_chunks, n_features, n_bins = shape
    n_counts, n_values = n_chunks * n_features * n_bins, n_chunks * n_features * N_MOMENTS
    n, begin = len(bodies), 8 * n_chunks
    at = end = begin + -(-n_counts * bits // 8)
    moments = np.empty((n, n_values, 8), np.uint8)
    for which in _HIGH:
        moments[..., which] = bodies[:, at : at + n_values]
        at += n_values
    moments[..., :_N_LOW] = bodies[:, at:].reshape(n, n_values, _N_LOW)
    by_moment = moments.view("<f8").reshape(n, N_MOMENTS, n_chunks, n_features)
    counts = _unpacked(bodies[:, begin:end], bits, n_counts)
    return Summary(
        chunks=np.frombuffer(bodies[:, :begin].tobytes(), "<i8").astype(np.int64),
        moments=by_moment.transpose(0, 2, 3, 1).reshape(n * n_chunks, n_features, N_MOMENTS),
        counts=counts.reshape(n * n_chunks, n_features, n_bins),
    )
