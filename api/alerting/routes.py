"""Routes of alerts over HTTP."""

from dataclasses import asdict

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy.orm import Session

from alerts import route
from api.alerting.silences import MatcherBody
from api.server.body import Body
from api.server.dependencies import (
    ActDep,
    AdminDep,
    PreconditionDep,
    ReadDep,
    entity_tag,
)
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from api.server.responses import created
from core.durations import Duration
from core.errors import Unprocessable
from db.tables import Route
from services.alerting import routes
from services.models import registry
from services.read_models.paging import Page

router = APIRouter(prefix="/v1/routes", tags=["routes"], route_class=JsonRoute)


class RoutePut(Body):
    """A route of alerts: a node of a tree. What is left out is that of its parent.

    Attributes
    ----------
    parent
        Name of the route above it; empty: the root, which notifies every channel.
    position
        Order among its siblings: the first that matches is taken.
    is_continued
        The siblings after it are tried too: `continue` of Alertmanager.
    channels
        Names of the channels that are notified.
    group_by
        Labels by which alerts are notified together, and `version`.
    group_wait
        From a new alert to its notification; PT5S in the root.
    group_interval
        Between two notifications of a group; pages do not wait for it. PT5M in the root.
    repeat_interval
        What fires and is not acknowledged is notified again after that. PT4H in the root.
    escalate_after, escalate_to
        Channels that are notified too of what is not acknowledged after that.
    """

    parent: str = ""
    position: int = Field(default=0, ge=0, le=10_000)
    is_continued: bool = False
    matchers: list[MatcherBody] = Field(default=[], max_length=50)
    channels: list[str] = Field(default=[], max_length=100)
    group_by: list[str] = Field(default=[], max_length=20)
    group_wait: Duration | None = None
    group_interval: Duration | None = None
    repeat_interval: Duration | None = None
    escalate_after: Duration | None = None
    escalate_to: list[str] = Field(default=[], max_length=100)


class RouteRead(RoutePut):
    """A route of alerts."""

    name: str


def route_of(body: RoutePut) -> route.Route:
    """Return the definition of a route, or raise Unprocessable."""
    given = {name: getattr(body, name) for name in RoutePut.model_fields}
    lists = {name: tuple(of) for name, of in given.items() if isinstance(of, list)}
    lists["matchers"] = tuple(one.matcher() for one in body.matchers)
    try:
        return route.Route(**{**given, **lists})
    except ValueError as error:
        raise Unprocessable(str(error)) from None


def body_of(definition: route.Route) -> RoutePut:
    """Return the body that states a route."""
    return RoutePut.model_validate(asdict(definition))


@router.get("")
def list_routes(_: AdminDep, session: ReadDep, paging: PagingDep) -> Page[RouteRead]:
    """List the routes by name; the root, which is not listed, has the default timers."""
    return paging.cut([*map(_read, routes.rows(session))], lambda one: one.name)


@router.get("/{name}")
def read_route(name: str, _: AdminDep, session: ReadDep, answer: Response) -> RouteRead:
    """Describe one route."""
    return _tagged(_read(routes.find(session, name)), answer)


@router.put("/{name}", responses=created(RouteRead))
def put_route(
    name: str,
    body: RoutePut,
    answer: Response,
    _: AdminDep,
    act: ActDep,
    precondition: PreconditionDep,
) -> RouteRead:
    """Add a route, or change it; groups that fire are notified by it from now on."""
    registry.check_name("route", name)
    precondition.check(lambda: _locked_tag(act.session, name))
    is_new = routes.put(act.session, name, route_of(body), act.now)
    act.record("route.add" if is_new else "route.update", name, body.model_dump(mode="json"))
    answer.status_code = 201 if is_new else 200
    act.session.flush()
    return _tagged(_read(routes.find(act.session, name)), answer)


@router.delete("/{name}", status_code=204, response_class=Response)
def delete_route(name: str, _: AdminDep, act: ActDep, precondition: PreconditionDep) -> None:
    """Delete a route that has none below it."""
    precondition.check(lambda: _locked_tag(act.session, name))
    routes.delete(act.session, name, act.now)
    act.record("route.delete", name)


def _read(row: Route) -> RouteRead:
    return RouteRead.model_validate({"name": row.name, **asdict(row.definition)})


def _tagged(read: RouteRead, answer: Response) -> RouteRead:
    answer.headers["ETag"] = _tag(read)
    return read


def _tag(read: RouteRead) -> str:
    return entity_tag(read.model_dump(mode="json"))


def _locked_tag(session: Session, name: str) -> str:
    row = routes.find(session, name)
    session.refresh(row, with_for_update=True)
    return _tag(_read(row))
