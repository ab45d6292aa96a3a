"""Routes with a JSON body: bounded in bytes and time, and parsed outside the event loop."""

import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from anyio import to_thread
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Scope

from api.server.dependencies import platform
from retrain.artifact_header import MAX_BYTES
from services.access.api_keys import token_in
from services.access.rate_limits import Reservation, allowed
from services.access.request_body import at_most, read_body

MAX_JSON_BYTES = 4 * 2**20  # of a contract, a manifest, a policy: not of rows
ARTIFACT_TIMES = 10  # time limit of an artifact, as a multiple of that of other bodies
PARSED_AT_ONCE = 64 * 2**10  # bytes; more are parsed in a thread


class JsonRoute(APIRoute):
    """Reads a body within the limits of its key; FastAPI would read it without limits."""

    max_bytes = MAX_JSON_BYTES

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route's function, wrapped."""
        inner = super().get_route_handler()
        return _bounded(inner, self.max_bytes) if self.body_field is not None else inner


class LargeJsonRoute(JsonRoute):
    """Reads the body of a whole configuration."""

    max_bytes = 4 * MAX_JSON_BYTES  # of 1,000 models with hundreds of features


def _bounded(
    inner: Callable[[Request], Coroutine[Any, Any, Response]], max_bytes: int
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def answer(request: Request) -> Response:
        parts = platform(request)
        token = token_in(request.headers.get("authorization"))
        caller = parts.authenticator.authenticate(token)
        limits = allowed(caller.limits, parts.settings)
        bounded = replace(limits, body_bytes=min(limits.body_bytes, max_bytes))
        reservation = Reservation(parts.limiter, caller.key_id, bounded)
        try:
            body = await read_body(
                request.headers.get("content-length"),
                request.receive,
                reservation.grow_to,
                parts.settings.body_time,
            )
            return await inner(_Read(request.scope, body))
        finally:
            reservation.release()

    return answer


async def artifact_of(request: Request, within: timedelta) -> bytes:
    """Read the weights in a body; their time limit is ten times that of other bodies."""
    return await body_of(request, MAX_BYTES, ARTIFACT_TIMES * within)


async def body_of(request: Request, max_bytes: int, within: timedelta) -> bytes:
    """Read a body of at most `max_bytes` within a time limit."""
    length = request.headers.get("content-length")
    return await read_body(length, request.receive, at_most(max_bytes), within)


class _Read(Request):
    """A request whose body has been read."""

    def __init__(self, scope: Scope, body: bytes) -> None:
        super().__init__(scope)
        self._body = body

    async def json(self) -> Any:
        if len(self._body) <= PARSED_AT_ONCE:
            return parsed(self._body)
        return await to_thread.run_sync(parsed, self._body)


def parsed(body: bytes) -> Any:
    """Parse JSON whose strings can be stored in a database and encoded as UTF-8.

    Raises
    ------
    json.JSONDecodeError
        If it is no JSON, or a text holds NUL or one half of a surrogate pair.

    Examples
    --------
    >>> parsed(b'{"name": "load"}')
    {'name': 'load'}
    """
    value = json.loads(body)
    # Both can only be written as escapes.
    if b"\\u" in body and not all(map(_is_storable, _texts(value))):
        raise json.JSONDecodeError("a text holds NUL or half a surrogate pair", "", 0)
    return value


def _texts(value: Any) -> Iterator[str]:
    """Yield every string of a document, names included."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case dict() as fields:
                waiting += [*fields, *fields.values()]
            case list() as items:
                waiting += items
            case _:
                pass


def _is_storable(text: str) -> bool:
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)
