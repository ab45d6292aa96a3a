"""The body of a request, read whole: bounded in size and in time."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from typing import Any

from core.errors import Malformed, TooLarge, TooSlow

MAX_DIGITS = 18  # of a declared length

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Disconnected(Malformed):
    """The caller hung up before the body was complete."""


def at_most(max_bytes: int) -> Callable[[int], None]:
    """Return what refuses a body of more bytes."""

    def need(n_bytes: int) -> None:
        if n_bytes > max_bytes:
            raise TooLarge(f"a body may have at most {max_bytes} bytes")

    return need


async def read_body(
    declared: str | None, receive: Receive, need: Callable[[int], None], within: timedelta
) -> bytes:
    """Read a body whole, after it was given room.

    Parameters
    ----------
    declared
        Its `Content-Length`, if there is one.
    receive
        As ASGI has it.
    need
        Raises where there is no room for so many bytes; called with the declared
        length, then with what has come so far.
    within
        How long all of it may take.

    Raises
    ------
    TooLarge, Busy
        If its declared length, or what has come so far, has no room.
    TooSlow
        If it takes longer than it may.
    Disconnected
        If the caller hangs up.
    """
    declared = declared or "0"
    if not (declared.isascii() and declared.isdecimal()) or len(declared) > MAX_DIGITS:
        raise TooLarge("the header Content-Length is not a number of bytes")
    need(int(declared))
    parts, n_bytes = [], 0
    try:
        async with asyncio.timeout(within.total_seconds()):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                part = message.get("body", b"")
                n_bytes += len(part)
                need(n_bytes)
                parts.append(part)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        seconds = within.total_seconds()
        raise TooSlow(f"the body did not arrive within {seconds:g} s") from None
