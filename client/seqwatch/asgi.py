"""ASGI middleware: adds trace, status and latency of a request to rows logged in it."""

import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from seqwatch.request import Request, current, status_of, trace_id_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Watch:
    """Adds the data of a request to the predictions logged during it.

    `trace_id` comes from the W3C `traceparent`; `status` and `latency_seconds`
    from the response, where the row does not have them itself. A row waits for
    the start of the response, not for its end: a stream may never end. The
    messages themselves are not changed.

    Parameters
    ----------
    app
        Any ASGI application.
    paths
        Beginnings of the paths to watch, e.g. `/predict`; all by default.

    Examples
    --------
    >>> async def app(scope, receive, send): ...
    >>> watched = Watch(app, paths=["/predict"])
    """

    def __init__(self, app: App, paths: Iterable[str] = ("/",)) -> None:
        self._app = app
        self._paths = tuple(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other scopes are passed on."""
        if scope["type"] != "http" or not scope["path"].startswith(self._paths):
            await self._app(scope, receive, send)
            return
        request = Request(_trace_id(scope), time.perf_counter)

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.respond(status_of(message["status"]))
            await send(message)

        token = current.set(request)
        try:
            await self._app(scope, receive, watched)
        except TimeoutError:
            request.respond("timeout")
            raise
        except BaseException:
            request.respond("error")
            raise
        finally:
            request.respond("ok")  # no response, and no error
            request.finish()
            current.reset(token)


def _trace_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return trace_id_of(value.decode("latin-1"))
    return None
