"""JSON and msgpack: the same rows and columns in two encodings."""

import json
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import numpy as np

from core.errors import Malformed, TooLarge

# Each list and object in a body takes some 80 bytes of memory, and one byte of
# the body suffices to begin one: more of them are refused unread.
MAX_CONTAINERS = 5_000_000


class Decoder(Protocol):
    """Reads a body as one type."""

    def decode(self, body: bytes, /) -> Any:
        """Return the value, or raise `msgspec.DecodeError`."""


class Encoding:
    """An encoding of rows and columns.

    Parameters
    ----------
    name
        For messages.
    typed
        Returns the decoder of a type: fast, and strict.
    untyped
        Decodes any value, so that bad rows can be named.
    count_containers
        Returns an upper bound of the lists and objects in a body.
    """

    def __init__(
        self,
        name: str,
        typed: Callable[[Any], Decoder],
        untyped: Callable[[bytes], Any],
        count_containers: Callable[[bytes], int],
    ) -> None:
        self.name = name
        self.typed = typed
        self._untyped = untyped
        self._count_containers = count_containers

    def refuse_bombs(self, body: bytes) -> None:
        """Refuse a body that would take much more memory than it has bytes.

        Raises
        ------
        TooLarge
            If it nests more lists and objects than any batch needs.
        """
        if len(body) > MAX_CONTAINERS and self._count_containers(body) > MAX_CONTAINERS:
            raise TooLarge(f"more than {MAX_CONTAINERS} lists and objects in one body")

    def untyped(self, body: bytes) -> Any:
        """Decode a body of any structure.

        Raises
        ------
        Malformed
            If it is of another encoding, ends early, or nests too deeply.
        """
        try:
            return self._untyped(body)
        except (ValueError, RecursionError):
            raise Malformed(f"the body is not {self.name}") from None


def _json_containers(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{")


def _msgpack_containers(body: bytes) -> int:
    # Tags of maps and arrays, fixed and sized. Bytes of numbers look like them
    # too, one in seven: the bound is far enough away.
    tags = np.frombuffer(body, np.uint8)
    fixed = np.count_nonzero((tags & 0xE0) == 0x80)
    return int(fixed + np.count_nonzero((tags & 0xFC) == 0xDC))


# Python's own reader, because it reads NaN and Infinity though JSON has no such
# numbers: its encoder writes them, and the row that carries one should be named.
JSON = Encoding("JSON", msgspec.json.Decoder, json.loads, _json_containers)
MSGPACK = Encoding(
    "msgpack", msgspec.msgpack.Decoder, msgspec.msgpack.decode, _msgpack_containers
)
