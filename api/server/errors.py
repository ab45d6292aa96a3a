"""Every error in one shape: `{"error": "StaleChampion", "detail": "…"}`."""

import logging
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException

from api.server.responses import outcome
from core.errors import AppError, BadRows, Busy, Later, Unauthorized
from db.session import is_outage

log = logging.getLogger("seqwatch.api")


def body_of(error: AppError) -> dict[str, Any]:
    """Return what a client reads about a business error."""
    body: dict[str, Any] = {"error": type(error).__name__, "detail": str(error)}
    if isinstance(error, BadRows):
        body |= outcome(
            n_accepted=error.n_accepted, duplicates=error.duplicates, faults=error.faults
        )
    return body


def headers_of(error: AppError) -> dict[str, str]:
    """Return the headers that belong to a business error."""
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, Later):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    return {}


def render(_: Request, error: Exception) -> JSONResponse:
    """Answer a business error."""
    assert isinstance(error, AppError)
    return JSONResponse(body_of(error), status_code=error.status, headers=headers_of(error))


def render_invalid(_: Request, error: Exception) -> JSONResponse:
    """Answer a body or query that is not as described: the field and why, never the value."""
    assert isinstance(error, RequestValidationError)
    faults = [
        f"{'.'.join(str(part) for part in fault['loc'])}: {_message(fault)}"
        for fault in error.errors()
    ]
    is_broken = any(fault["type"] == "json_invalid" for fault in error.errors())
    body = {
        "error": "Malformed" if is_broken else "Unprocessable",
        "detail": "; ".join(faults),
    }
    status = HTTPStatus.BAD_REQUEST if is_broken else HTTPStatus.UNPROCESSABLE_ENTITY
    return JSONResponse(body, status_code=status)


def _message(fault: Mapping[str, Any]) -> str:
    """Return what is wrong; of a body that is no JSON the parser's reason too."""
    if fault["type"] == "json_invalid":
        return f"{fault['msg']}: {fault['ctx']['error']}"
    return str(fault["msg"])


def render_http(_: Request, error: Exception) -> JSONResponse:
    """Answer what the framework refuses by itself: no such address, no such method."""
    assert isinstance(error, HTTPException)
    name = HTTPStatus(error.status_code).phrase.title().replace(" ", "")
    return JSONResponse(
        {"error": name, "detail": str(error.detail)},
        status_code=error.status_code,
        headers=error.headers,
    )


def render_stale(_: Request, __: Exception) -> JSONResponse:
    """Answer a race that was lost: the row was changed after it was read."""
    detail = "somebody else changed this at the same moment; look again"
    return JSONResponse(
        {"error": "Conflict", "detail": detail}, status_code=HTTPStatus.CONFLICT
    )


def render_unavailable(request: Request, error: Exception) -> JSONResponse:
    """Answer while the database does not: it is gone, locked for long, or its disk is full."""
    assert isinstance(error, DBAPIError)
    if not is_outage(error):
        return render_bug(request, error)
    log.warning("%s %s: %s", request.method, _route(request), error.orig)
    return render(request, Busy("the database is not available", retry_after=5.0))


def render_bug(request: Request, error: Exception) -> JSONResponse:
    """Answer a bug: the trace goes to the log, none of it to the client."""
    log.error("unexpected error in %s %s", request.method, _route(request), exc_info=error)
    body = {"error": "InternalError", "detail": "an unexpected error; it is in the log"}
    return JSONResponse(body, status_code=HTTPStatus.INTERNAL_SERVER_ERROR)


def _route(request: Request) -> str:
    """Return the address as declared: a path that was asked for may name a person."""
    return str(getattr(request.scope.get("route"), "path", "an address without a route"))


_RENDERED: dict[type[Exception], Callable[[Request, Any], JSONResponse]] = {
    AppError: render,
    RequestValidationError: render_invalid,
    HTTPException: render_http,
    StaleDataError: render_stale,
    OperationalError: render_unavailable,
    InterfaceError: render_unavailable,
    Exception: render_bug,
}


def answer(request: Request, error: Exception) -> JSONResponse:
    """Return the answer to a request that failed."""
    kind = next(kind for kind in type(error).__mro__ if kind in _RENDERED)
    return _RENDERED[kind](request, error)


def install(app: FastAPI) -> None:
    """Make the application answer every error in this shape."""
    for kind, handler in _RENDERED.items():
        app.add_exception_handler(kind, handler)
