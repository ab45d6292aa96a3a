"""The pages, put together: an application takes them in with `mount`."""

from uuid import UUID, uuid4

from fastapi import APIRouter, FastAPI, Request, Response
from sqlalchemy.orm import Session, sessionmaker

from core.settings import Settings
from db.session import read_only
from db.tables import Scope
from services.access.api_keys import Caller, Door
from services.platform_faults import platform_alerts
from services.read_models.overview import alerts, fleet, model, rollouts
from services.read_models.reports import report_status
from web import charts, findings, journey, lookup, orders, signing
from web.forms import BoundedForms
from web.rendering import FOLDER, PageRoute, Site, Static, page, site
from web.signing import NowDep, VisitorDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)


def mount(
    app: FastAPI, *, sessions: sessionmaker[Session], door: Door, settings: Settings
) -> None:
    """Add the pages to an application; what begins with one of `API_PATHS` stays the API's."""
    app.state.site = Site(
        sessions=sessions,
        door=door,
        public_url=settings.public_url,
        reports=settings.reports,
        lake=settings.lake,
        summaries=settings.summary_retention,
    )
    app.add_middleware(BoundedForms)
    for room in (signing.router, router, findings.router, lookup.router, orders.router):
        app.include_router(room)
    app.mount("/static", Static(directory=FOLDER / "static"), name="static")


@router.get("/")
def show_fleet(request: Request, visitor: VisitorDep, now: NowDep) -> Response:
    """Show all models at a glance."""
    with read_only(site(request).sessions) as session:
        seen = fleet.fleet(session, visitor.model_id)
        faults = platform_alerts.described(session, visitor.model_id)
    return page(
        "fleet.html",
        visitor=visitor,
        now=now,
        models=seen,
        platform=faults,
        sparkline=charts.sparkline,
        address=site(request).public_url,
    )


@router.get("/models/{name}")
def show_model(request: Request, name: str, visitor: VisitorDep, now: NowDep) -> Response:
    """Show one model."""
    with read_only(site(request).sessions) as session:
        seen = model.model(session, name, visitor.model_id, site(request).summaries)
    return page(
        "model.html",
        visitor=visitor,
        now=now,
        model=seen,
        charts={
            "accuracy": charts.accuracy(seen),
            "steps": charts.steps(seen),
            "latency": charts.latency(seen.hours),
            "availability": charts.availability(seen.hours),
        },
        heat=charts.heat,
        reports=_reports(request, visitor),
        may_operate=visitor.holds(Scope.OPERATE),
        idempotency_key=uuid4(),
    )


@router.get("/alerts")
def show_alerts(request: Request, visitor: VisitorDep, now: NowDep) -> Response:
    """Show what fires, what changed, and who was told."""
    with read_only(site(request).sessions) as session:
        seen = alerts.alerts(session, visitor.model_id)
    return page(
        "alerts.html", visitor=visitor, now=now, alerts=seen, reports=_reports(request, visitor)
    )


def _reports(request: Request, visitor: Caller) -> frozenset[UUID]:
    return report_status.written(site(request).reports, visitor.model_id)


@router.get("/rollouts")
def show_rollouts(request: Request, visitor: VisitorDep, now: NowDep) -> Response:
    """Show the challengers, newest first."""
    with read_only(site(request).sessions) as session:
        seen = rollouts.rollouts(session, visitor.model_id)
    return page("rollouts.html", visitor=visitor, now=now, rollouts=seen)


@router.get("/rollouts/{rollout_id}")
def show_rollout(
    request: Request, rollout_id: UUID, visitor: VisitorDep, now: NowDep
) -> Response:
    """Show one challenger on its way."""
    with read_only(site(request).sessions) as session:
        seen = rollouts.rollout(session, rollout_id, visitor.model_id)
    base, challenger = seen.line.base or "seasonal naive", seen.line.challenger or "challenger"
    return page(
        "rollout.html",
        visitor=visitor,
        now=now,
        rollout=seen,
        way=journey.way(seen),
        evidence=journey.evidence(seen.verdict, seen.bars),
        charts={
            "gate": charts.gate(seen.gate, base, challenger),
            "sessions": charts.sessions(seen.days, base, challenger),
        },
        may_operate=visitor.holds(Scope.OPERATE),
    )
