"""Authentication by key: a request without a valid key is refused before its body is read."""

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.server import errors
from services.access.api_keys import API_PATHS, Authenticator, Caller, plausible_token

# Routes that authenticate before they read: they also accept the key as a password.
SELF_AUTHENTICATED = frozenset({"/v1/kserve"})
MAX_KEY_QUERIES = 4  # at a time, so that unknown keys leave threads for everybody else


class AsyncAuthenticator:
    """Authenticates the key of a header, without blocking the event loop."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._limiter = CapacityLimiter(MAX_KEY_QUERIES)

    async def authenticate(self, authorization: str | None) -> Caller:
        """Return the caller that an `Authorization` header belongs to.

        Raises
        ------
        Unauthorized
            If there is no key, or it is unknown or revoked.
        """
        token = plausible_token(authorization)
        known = self._authenticator.cached(token)
        if known is not None:
            return known
        authenticate = self._authenticator.authenticate
        return await to_thread.run_sync(authenticate, token, limiter=self._limiter)


class RequireKey:
    """Middleware: refuses requests to the API without a valid key; routes check its scopes."""

    def __init__(self, app: ASGIApp, authenticator: AsyncAuthenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if _needs_key(scope):
            try:
                authorization = Headers(scope=scope).get("authorization")
                await self._authenticator.authenticate(authorization)
            except Exception as error:  # noqa: BLE001 - rendered as every error is
                answer = errors.answer(Request(scope), error)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _needs_key(scope: Scope) -> bool:
    if scope["type"] != "http":
        return False
    path: str = scope["path"]
    return path.startswith(API_PATHS) and path not in SELF_AUTHENTICATED
