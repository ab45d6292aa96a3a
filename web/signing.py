"""Sign in with a key, and out."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from core.clock import utcnow
from core.errors import Forbidden, Unauthorized
from db.session import read_only, unit_of_work
from db.tables import Scope
from services.access import api_keys, browser_sessions
from services.access.api_keys import Caller
from web.rendering import COOKIE, HEADERS, PageRoute, Site, come_from_here, page, redirect, site

router = APIRouter(route_class=PageRoute, include_in_schema=False)


NowDep = Annotated[datetime, Depends(utcnow)]


def visitor(request: Request, now: NowDep) -> Caller:
    """Return the caller of the browser's session, or raise Unauthorized."""
    with read_only(site(request).sessions) as session:
        return browser_sessions.who(session, request.cookies.get(COOKIE), now)


VisitorDep = Annotated[Caller, Depends(visitor)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request for a page: its caller, its time and its site."""

    visitor: Caller
    now: datetime
    site: Site

    @property
    def only(self) -> UUID | None:
        """The one model that the visitor may see; None for all."""
        return self.visitor.model_id

    def reading(self) -> AbstractContextManager[Session]:
        """Open a read-only session on one consistent snapshot."""
        return read_only(self.site.sessions)

    def page(self, name: str, **values: Any) -> HTMLResponse:
        """Render a page for the visitor."""
        return page(name, visitor=self.visitor, now=self.now, **values)

    @contextmanager
    def ordering(self) -> Iterator[Session]:
        """Open a transaction for an action, or raise Forbidden."""
        api_keys.require(self.visitor, Scope.OPERATE, self.only)
        with unit_of_work(self.site.sessions) as session:
            yield session

    def record(
        self, session: Session, action: str, subject: str, detail: dict[str, Any]
    ) -> None:
        """Add an action to the audit log, in the transaction of the change."""
        api_keys.audit(session, self.visitor.name, action, subject, detail, self.now)

    @property
    def may_operate(self) -> bool:
        """Whether the visitor has scope `operate`."""
        return self.visitor.holds(Scope.OPERATE)


def visit(request: Request, visitor: VisitorDep, now: NowDep) -> Visit:
    """Return the request with its caller."""
    return Visit(visitor=visitor, now=now, site=site(request))


VisitDep = Annotated[Visit, Depends(visit)]


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
    """Return the name of the caller if this browser is signed in.

    A browser does not send the cookie with a link from another site. The sign-in
    page, which is on this site, requests this address to find out whether there is one.
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
        caller = ours.authenticator.authenticate(key.strip())
        with unit_of_work(ours.sessions) as session:
            token = browser_sessions.sign_in(session, caller, now)
    except (Unauthorized, Forbidden) as refusal:
        return page(
            "login.html", status=refusal.status, next=inside(next), problem=str(refusal)
        )
    answer = redirect(inside(next))
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
    answer = redirect("/login")
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer
