"""The key before anything else: a request without one is refused before its body is read."""

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.server import errors
from services.access.api_keys import API_PATHS, Caller, Door, plausible_token

# Routes that authenticate by themselves before they read: they take the key as a password too.
OWN = frozenset({"/v1/kserve"})
N_LOOK_UPS = 4  # at a time, so that unknown keys leave threads for everybody else


class Keys:
    """Finds who shows a key, without holding up the event loop."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._limiter = CapacityLimiter(N_LOOK_UPS)

    async def admit(self, authorization: str | None) -> Caller:
        """Return who asks.

        Raises
        ------
        Unauthorized
            If there is no key, or it is unknown or revoked.
        """
        token = plausible_token(authorization)
        known = self._door.remembered(token)
        if known is not None:
            return known
        return await to_thread.run_sync(self._door.admit, token, limiter=self._limiter)


class KeyFirst:
    """Lets no request to the API past before its key is accepted; routes check its scopes."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if _needs_key(scope):
            try:
                await self._keys.admit(Headers(scope=scope).get("authorization"))
            except Exception as error:  # noqa: BLE001 - rendered as every error is
                answer = errors.answer(Request(scope), error)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _needs_key(scope: Scope) -> bool:
    if scope["type"] != "http":
        return False
    path: str = scope["path"]
    return path.startswith(API_PATHS) and path not in OWN
