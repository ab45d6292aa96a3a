"""Sign in with a key, and out."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from core.clock import utcnow
from core.errors import Forbidden, Unauthorized
from db.session import read_only, unit_of_work
from services.access import browser_sessions
from services.access.api_keys import Caller
from web.rendering import COOKIE, HEADERS, PageRoute, come_from_here, page, site

router = APIRouter(route_class=PageRoute, include_in_schema=False)


NowDep = Annotated[datetime, Depends(utcnow)]


def visitor(request: Request, now: NowDep) -> Caller:
    """Return whose browser this is, or raise Unauthorized."""
    with read_only(site(request).sessions) as session:
        return browser_sessions.who(session, request.cookies.get(COOKIE), now)


VisitorDep = Annotated[Caller, Depends(visitor)]


def inside(address: str) -> str:
    r"""Return an address of this site; the first page for any other.

    Examples
    --------
    >>> inside("/models/a"), inside("//evil.example"), inside("/\\evil.example")
    ('/models/a', '/', '/')
    """
    is_inside = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if is_inside and address.isprintable() else "/"


@router.get("/login")
def ask(next: str = "/") -> Response:
    """Ask for a key."""
    return page("login.html", next=inside(next), problem="")


@router.get("/session")
def is_signed_in(visitor: VisitorDep) -> Response:
    """Say that this browser is signed in.

    The cookie does not travel with a link on somebody else's page. The sign-in
    page, which is ours, asks here whether there is one after all.
    """
    return Response(visitor.name, media_type="text/plain", headers=HEADERS)


@router.post("/login", dependencies=[Depends(come_from_here)])
def sign_in(
    request: Request,
    key: Annotated[str, Form()],
    now: NowDep,
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Open a session for a key that may read."""
    ours = site(request)
    try:
        caller = ours.door.admit(key.strip())
        with unit_of_work(ours.sessions) as session:
            token = browser_sessions.sign_in(session, caller, now)
    except (Unauthorized, Forbidden) as refusal:
        return page(
            "login.html", status=refusal.status, next=inside(next), problem=str(refusal)
        )
    answer = RedirectResponse(inside(next), status_code=HTTPStatus.SEE_OTHER, headers=HEADERS)
    answer.set_cookie(
        COOKIE,
        token,
        max_age=int(browser_sessions.LASTS.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=ours.is_https,
    )
    return answer


@router.post("/logout", dependencies=[Depends(come_from_here)])
def sign_out(request: Request) -> Response:
    """End the session."""
    with unit_of_work(site(request).sessions) as session:
        browser_sessions.sign_out(session, request.cookies.get(COOKIE))
    answer = RedirectResponse("/login", status_code=HTTPStatus.SEE_OTHER, headers=HEADERS)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer
