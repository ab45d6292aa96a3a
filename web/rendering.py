"""Renders templates to pages, with the security headers of the pages."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from sqlalchemy.orm import Session, sessionmaker

from core.errors import AppError, Forbidden, Unauthorized
from core.lake_root import LakeRoot
from services.access.api_keys import Authenticator
from web.words import WORDS

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
COOKIE = "seqwatch_session"

# All content comes from this origin, no inline scripts, no frames.
# Referrer-Policy: with `no-referrer` a browser would send `Origin: null` with
# forms of these pages, which could not be told apart from those of other sites.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@cache
def _pages() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not before a page

    found = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(WORDS)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The settings and parts that the pages use."""

    sessions: sessionmaker[Session]
    authenticator: Authenticator
    public_url: str
    reports: Path
    lake: LakeRoot
    trace_url: str

    @property
    def is_https(self) -> bool:
        """Whether browsers use TLS; then the cookie is limited to it."""
        return urlsplit(self.public_url).scheme == "https"


class Static(StaticFiles):
    """Static files: a browser caches them, and revalidates them each time."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Answer with a file, or 304."""
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def site(request: Request) -> Site:
    """Return the settings and parts that the pages use."""
    found = request.app.state.site
    assert isinstance(found, Site)
    return found


def page(name: str, *, status: HTTPStatus = HTTPStatus.OK, **values: object) -> HTMLResponse:
    """Render one page; a missing value of the template is an error."""
    html = _pages().get_template(name).render(status=status, **values)
    return HTMLResponse(html, status_code=status, headers=HEADERS)


def come_from_here(request: Request) -> None:
    """Refuse a form that another site made the browser send.

    Raises
    ------
    Forbidden
        If the browser names another origin, or none: every browser names it.
    """
    origin = request.headers.get("origin", "")
    ours = {urlsplit(site(request).public_url).netloc, request.headers.get("host", "")}
    if urlsplit(origin).netloc not in ours - {""}:
        raise Forbidden("this form did not come from a page of ours")


class PageRoute(APIRoute):
    """Answers errors with pages; without a session, with a redirect to the sign-in page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route's function, wrapped."""
        inner = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await inner(request)
            except Unauthorized:
                return to_sign_in(request)
            except AppError as error:
                return page("error.html", status=error.status, text=str(error))
            except RequestValidationError:
                nothing = "There is no page at this address, or the form lacks an answer."
                return page("error.html", status=HTTPStatus.NOT_FOUND, text=nothing)

        return answer


def to_sign_in(request: Request) -> RedirectResponse:
    """Redirect to the sign-in page, which redirects back to the requested page."""
    wanted = request.url.path if request.method == "GET" else "/"
    return redirect(f"/login?next={quote(wanted)}")


def redirect(address: str) -> RedirectResponse:
    """Send the browser to another page."""
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER, headers=HEADERS)
