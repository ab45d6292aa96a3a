"""Every error as problem details (RFC 9457); `type` ends in the name of the error."""

import logging
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException

from api.server.responses import MAX_NAMED, PROBLEM, name_of, outcome, problem
from core.errors import (
    AppError,
    BadRows,
    Busy,
    Conflict,
    InvalidConfiguration,
    Later,
    Malformed,
    NotFoundYet,
    Unauthorized,
    Unprocessable,
)
from db.session import is_outage
from services.access.api_keys import ALERTMANAGER_PATHS

log = logging.getLogger("seqwatch.api")


class Problem(JSONResponse):
    """Problem details (RFC 9457); in Alertmanager's API a string, and 400 in place of 422."""

    media_type = PROBLEM

    def __init__(
        self,
        request: Request,
        name: str,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        path = request.scope["path"]
        body: object = detail
        if path.startswith(ALERTMANAGER_PATHS):
            self.media_type = "application/json"
            status = HTTPStatus.BAD_REQUEST if status == Unprocessable.status else status
        else:
            body = problem(name, status, detail, instance=quote(path), **members)
        super().__init__(body, status_code=status, headers=headers)


def members_of(error: AppError) -> dict[str, Any]:
    """Return the extension members of a business error."""
    match error:
        case BadRows():
            return outcome(
                n_accepted=error.n_accepted, duplicates=error.duplicates, faults=error.faults
            )
        case InvalidConfiguration():
            found = error.faults[:MAX_NAMED]
            return {"errors": [{"field": one.pointer, "reason": one.reason} for one in found]}
        case NotFoundYet():
            return {
                "searched_back_to": error.searched_back_to.isoformat(),
                "next_cursor": error.next_cursor,
            }
        case _:
            return {}


def headers_of(error: AppError) -> dict[str, str]:
    """Return the headers that belong to a business error."""
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, Later):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    return {}


def render(request: Request, error: Exception) -> Problem:
    """Answer a business error."""
    assert isinstance(error, AppError)
    return Problem(
        request,
        type(error).__name__,
        error.status,
        str(error),
        headers=headers_of(error),
        **members_of(error),
    )


def render_invalid(request: Request, error: Exception) -> Problem:
    """Answer a body or query that is not as described: the field and why, never the value."""
    assert isinstance(error, RequestValidationError)
    kind: type[AppError] = Unprocessable
    if any(fault["type"] == "json_invalid" for fault in error.errors()):
        kind = Malformed
    errors = [
        {"field": ".".join(map(str, fault["loc"])), "reason": _message(fault)}
        for fault in error.errors()
    ]
    detail = "; ".join(f"{one['field']}: {one['reason']}" for one in errors)
    return Problem(request, kind.__name__, kind.status, detail, errors=errors)


def _message(fault: Mapping[str, Any]) -> str:
    """Return what is wrong; of a body that is no JSON the parser's reason too."""
    if fault["type"] == "json_invalid":
        return f"{fault['msg']}: {fault['ctx']['error']}"
    return str(fault["msg"])


def render_http(request: Request, error: Exception) -> Problem:
    """Answer errors of Starlette itself: no such address, no such method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    return Problem(request, name_of(status), status, str(error.detail), headers=error.headers)


def render_stale(request: Request, _: Exception) -> Problem:
    """Answer a write conflict: the row was changed after it was read."""
    return render(request, Conflict("another request changed this meanwhile; read it again"))


def render_unavailable(request: Request, error: Exception) -> Problem:
    """Answer while the database is unavailable: down, locked for long, or its disk is full."""
    assert isinstance(error, DBAPIError)
    if not is_outage(error):
        return render_bug(request, error)
    log.warning("%s %s: %s", request.method, _route(request), error.orig)
    return render(request, Busy("the database is not available", retry_after=5.0))


def render_bug(request: Request, error: Exception) -> Problem:
    """Answer a bug: the trace goes to the log, none of it to the client."""
    log.error("unexpected error in %s %s", request.method, _route(request), exc_info=error)
    detail = "an unexpected error; it is in the log"
    return Problem(request, "InternalError", HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def _route(request: Request) -> str:
    """Return the address as declared: the requested path may name a person."""
    return str(getattr(request.scope.get("route"), "path", "an address without a route"))


_RENDERED: dict[type[Exception], Callable[[Request, Any], Problem]] = {
    AppError: render,
    RequestValidationError: render_invalid,
    HTTPException: render_http,
    StaleDataError: render_stale,
    OperationalError: render_unavailable,
    InterfaceError: render_unavailable,
    Exception: render_bug,
}


def answer(request: Request, error: Exception) -> Problem:
    """Return the answer to a request that failed."""
    kind = next(kind for kind in type(error).__mro__ if kind in _RENDERED)
    return _RENDERED[kind](request, error)


def install(app: FastAPI) -> None:
    """Make the application answer every error in this shape."""
    for kind, handler in _RENDERED.items():
        app.add_exception_handler(kind, handler)
