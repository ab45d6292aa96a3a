"""The pages: `mount` adds them to an application."""

from datetime import timedelta
from uuid import UUID, uuid4

from fastapi import APIRouter, FastAPI, Response
from sqlalchemy.orm import Session, sessionmaker

from core.settings import Settings
from db.queries import models
from services.access.api_keys import Authenticator
from services.platform_faults import platform_alerts
from services.read_models import backtests
from services.read_models.overview import alerts, changes, fleet, model, rollouts
from services.read_models.overview.fleet import FleetQuery
from services.read_models.overview.monitor_status import Health
from services.read_models.paging import Paging
from services.read_models.reports import report_status
from web import charts, findings, journey, lookup, orders, runbooks, signing
from web.alerting import alerts as alert_pages
from web.alerting import slos
from web.forms import BoundedForms
from web.rendering import FOLDER, PageRoute, Site, Static
from web.signing import Visit, VisitDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)


def mount(
    app: FastAPI,
    *,
    sessions: sessionmaker[Session],
    authenticator: Authenticator,
    settings: Settings,
) -> None:
    """Add the pages to an application; what begins with one of `API_PATHS` stays the API's."""
    app.state.site = Site(
        sessions=sessions,
        authenticator=authenticator,
        public_url=settings.public_url,
        reports=settings.reports,
        lake=settings.lake,
        trace_url=settings.trace_url,
    )
    app.add_middleware(BoundedForms)
    for each in (
        signing.router,
        router,
        findings.router,
        runbooks.router,
        slos.router,
        alert_pages.router,
        alert_pages.buttons,
        lookup.router,
        orders.router,
    ):
        app.include_router(each)
    app.mount("/static", Static(directory=FOLDER / "static"), name="static")


@router.get("/")
def show_fleet(
    visit: VisitDep,
    health: str = "",
    q: str = "",
    page: str = "1",
    group: str = "",
    tag: str = "",
) -> Response:
    """Show the models, the most pressing first: a page of those that match."""
    state = Health(health) if health in [*Health] else None
    number = int(page) if page.isdecimal() and len(page) < 7 else 1
    text = q.strip()[:64]
    query = FleetQuery(health=state, text=text, group=group, tag=tag, page=number)
    with visit.reading() as session:
        seen = fleet.fleet(session, visit.only, query)
        faults = platform_alerts.described(session, visit.only)
    return visit.page(
        "fleet.html",
        fleet=seen,
        query=query,
        platform=faults,
        sparkline=charts.sparkline,
        address=visit.site.public_url,
    )


@router.get("/models/{name}")
def show_model(name: str, visit: VisitDep) -> Response:
    """Show one model."""
    with visit.reading() as session:
        seen = model.model(session, name, visit.only)
        model_id = models.find(session, name).id
        objectives = slos.lines(session, model_id, visit.now)
        requested = backtests.listed(session, model_id, None, Paging(limit=5)).items
    since = (seen.watermark or visit.now) - timedelta(days=model.ACCURACY_DAYS)
    changed = changes.changes(visit.site.sessions, visit.site.lake, model_id, since)
    steps: list[model.Milestone | changes.Change] = [*seen.milestones, *changed]
    return visit.page(
        "model.html",
        model=seen,
        charts={
            "accuracy": charts.accuracy(seen, changed),
            "steps": charts.steps(seen),
            "latency": charts.latency(seen.hours, steps),
            "minutes": charts.minutes(seen.minutes),
            "availability": charts.availability(seen.hours, steps),
        },
        changes=changed,
        slos=objectives,
        heat=charts.heat,
        reports=_reports(visit),
        backtests=requested,
        may_operate=visit.may_operate,
        idempotency_key=uuid4(),
    )


@router.get("/alerts")
def show_alerts(visit: VisitDep) -> Response:
    """Show the firing alerts, their flips, and the notifications."""
    with visit.reading() as session:
        seen = alerts.alerts(session, visit.only, visit.now)
    return visit.page("alerts.html", alerts=seen, reports=_reports(visit))


def _reports(visit: Visit) -> frozenset[UUID]:
    return report_status.written(visit.site.reports, visit.only)


@router.get("/rollouts")
def show_rollouts(visit: VisitDep) -> Response:
    """Show the challengers, newest first."""
    with visit.reading() as session:
        seen = rollouts.rollouts(session, visit.only)
    return visit.page("rollouts.html", rollouts=seen)


@router.get("/rollouts/{rollout_id}")
def show_rollout(rollout_id: UUID, visit: VisitDep) -> Response:
    """Show the progress of one challenger."""
    with visit.reading() as session:
        seen = rollouts.rollout(session, rollout_id, visit.only)
    base, challenger = seen.line.base or "seasonal naive", seen.line.challenger or "challenger"
    return visit.page(
        "rollout.html",
        rollout=seen,
        way=journey.way(seen),
        evidence=journey.evidence(seen.verdict, seen.bars),
        charts={
            "gate": charts.gate(seen.gate, base, challenger),
            "sessions": charts.sessions(seen.days, base, challenger),
        },
        may_operate=visit.may_operate,
    )
