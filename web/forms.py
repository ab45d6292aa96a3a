"""Forms: bounded in size, and read only after the session is checked."""

import re
from datetime import timedelta

from anyio import CapacityLimiter, to_thread
from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.clock import utcnow
from core.errors import AppError, TooMany, Unauthorized, UnsupportedFormat
from db.session import read_only
from services.access import browser_sessions
from services.access.api_keys import API_PATHS
from services.access.rate_limits import Attempts
from services.access.request_body import at_most, read_body
from web.rendering import COOKIE, page, site, to_sign_in

MAX_FORM_BYTES = 16 * 2**10
FORM_TIME = timedelta(seconds=10)
MAX_SESSION_QUERIES = 2  # at a time, so that unknown cookies leave threads for others
URLENCODED = "application/x-www-form-urlencoded"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")  # as `secrets.token_urlsafe` encodes 32 bytes


class BoundedForms:
    """Refuses a form before it is read: without a session, or at too many sign-ins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._limiter = CapacityLimiter(MAX_SESSION_QUERIES)
        self._sign_ins = Attempts(per_second=1.0, burst=30.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if not _is_form(scope):
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(Request(scope), receive)
        except AppError as error:
            await _refusal(Request(scope), error)(scope, receive, send)
            return
        rest = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return rest.pop() if rest else await receive()

        await self._app(scope, replay, send)

    async def _read(self, request: Request, receive: Receive) -> bytes:
        if request.url.path == "/login":
            self._sign_ins.count(request.client.host if request.client else "")
        else:
            await self._check_session(request)
        given = request.headers.get("content-type", URLENCODED).partition(";")[0]
        if given.strip().lower() != URLENCODED:
            raise UnsupportedFormat(f"a form is sent as {URLENCODED}")
        declared = request.headers.get("content-length")
        return await read_body(declared, receive, at_most(MAX_FORM_BYTES), FORM_TIME)

    async def _check_session(self, request: Request) -> None:
        """Raise Unauthorized for an unknown cookie; the route checks the scopes."""
        token = request.cookies.get(COOKIE, "")
        if _TOKEN.fullmatch(token) is None:
            raise Unauthorized("sign in with a key")
        now = request.app.dependency_overrides.get(utcnow, utcnow)()  # the routes' clock

        def find() -> None:
            with read_only(site(request).sessions) as session:
                browser_sessions.who(session, token, now)

        await to_thread.run_sync(find, limiter=self._limiter)


def _is_form(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] not in ("GET", "HEAD")
        and not scope["path"].startswith(API_PATHS)
    )


def _refusal(request: Request, error: AppError) -> Response:
    if isinstance(error, Unauthorized):
        return to_sign_in(request)
    if isinstance(error, TooMany):
        answer = page("login.html", status=error.status, next="/", problem=str(error))
        answer.headers["Retry-After"] = str(int(error.retry_after) + 1)
        return answer
    return page("error.html", status=error.status, text=str(error))
