"""The body of a request, read whole: bounded in size and in time."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from typing import Any

from core.errors import Malformed, TooLarge, TooSlow

MAX_DIGITS = 18  # of a declared length

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Disconnected(Malformed):
    """The client disconnected before the body was complete."""


def at_most(max_bytes: int) -> Callable[[int], None]:
    """Return a check that raises TooLarge for more than `max_bytes`."""

    def reserve(n_bytes: int) -> None:
        if n_bytes > max_bytes:
            raise TooLarge(f"a body may have at most {max_bytes} bytes")

    return reserve


async def read_body(
    declared: str | None, receive: Receive, reserve: Callable[[int], None], within: timedelta
) -> bytes:
    """Read a whole body, after its bytes are reserved.

    Parameters
    ----------
    declared
        Its `Content-Length`, if there is one.
    receive
        The `receive` of ASGI.
    reserve
        Called with the declared length, then with the length so far; raises if so
        many bytes cannot be held.
    within
        Time limit for the whole body.

    Raises
    ------
    TooLarge, Busy
        If `reserve` refuses the declared length, or the length so far.
    TooSlow
        If it takes longer than `within`.
    Disconnected
        If the client disconnects.
    """
    declared = declared or "0"
    if not (declared.isascii() and declared.isdecimal()) or len(declared) > MAX_DIGITS:
        raise TooLarge("the header Content-Length is not a number of bytes")
    reserve(int(declared))
    parts, n_bytes = [], 0
    try:
        async with asyncio.timeout(within.total_seconds()):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                part = message.get("body", b"")
                n_bytes += len(part)
                reserve(n_bytes)
                parts.append(part)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        seconds = within.total_seconds()
        raise TooSlow(f"the body did not arrive within {seconds:g} s") from None
