"""Fast path of the ingest routes: without FastAPI's layers, with the same headers and errors.

A request that logs one row spends more time in routing, telemetry and nested
middlewares than in being read, checked and written.
"""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.server import errors
from api.server.security import HEADERS

_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class Express:
    """Serves some routes itself, and passes all other requests to the application.

    Parameters
    ----------
    app
        Has these routes too: it answers requests with other methods.
    routes
        Of one shape, `/v1/models/{model}/predictions`: they differ only after the
        name.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[Route]) -> None:
        self._app = app
        self._routes: dict[str, Route] = {}
        for route in routes:
            (self._param,) = route.param_convertors
            self._start, end = route.path.split(f"{{{self._param}}}")
            self._routes[end] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        route, name = self._find(scope)
        if route is None:
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        scope["route"], scope["path_params"] = route, {self._param: name}
        try:
            await route.app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - outermost handler of a request
            answer = errors.answer(Request(scope), error)
            await answer(scope, receive, send_with_headers)

    def _find(self, scope: Scope) -> tuple[Route | None, str]:
        if scope["type"] != "http" or scope["method"] != "POST":
            return None, ""
        path: str = scope["path"]
        name, slash, rest = path.removeprefix(self._start).partition("/")
        is_ours = path.startswith(self._start) and name
        return (self._routes.get(slash + rest) if is_ours else None), name
