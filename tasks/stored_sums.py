"""Streams of sums of one event day, written whole: the number of the format, then the sums."""

import numpy as np

from core.arrays import Floats
from core.errors import Unprocessable
from core.streams import Stream


def stream(name: str, version: int, width: int, dtype: str) -> Stream[Floats]:
    """Return a stream of sums, (part, `width`).

    Parameters
    ----------
    name, version
        Of the stream, and of its format: rows of another are refused.
    width
        Sums of each part.
    dtype
        Of the stored numbers, `<f8` or `<f4`; what is too large for it is as large as it holds.

    Examples
    --------
    >>> of = stream("example", 1, 3, "<f4")
    >>> of.from_bytes(of.to_bytes(np.array([[1.0, 2.0, 1e300]])))[0, :2]
    array([1., 2.])
    """
    head, most = bytes([version, 0, 0, 0]), np.finfo(dtype).max

    def to_bytes(day: Floats) -> bytes:
        return head + np.clip(day, -most, most).astype(dtype).tobytes()

    def from_bytes(stored: bytes) -> Floats:
        if not stored.startswith(head):
            raise Unprocessable(f"{name} is stored in another format")
        return np.frombuffer(stored, dtype, offset=len(head)).astype(float).reshape(-1, width)

    return Stream(name=name, to_bytes=to_bytes, from_bytes=from_bytes)
