"""The page of an alert and that of all silences, with their buttons."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Response
from sqlalchemy.orm import Session

from alerts.silence import SilenceState
from alerts.state import Verdict
from core.durations import DAY, HOUR
from db.tables import Alert, Scope
from services.access import api_keys
from services.alerting import responses, silences
from services.alerting.responses import Person
from services.read_models import alert_details
from web.rendering import PageRoute, come_from_here, redirect
from web.signing import Visit, VisitDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)
buttons = APIRouter(
    route_class=PageRoute, include_in_schema=False, dependencies=[Depends(come_from_here)]
)

Note = Annotated[str, Form(max_length=2000)]

MOST_EXPIRED = 50  # silences on the page


class Length(StrEnum):
    """How long a button silences an alert."""

    HOUR = "1h"
    HOURS = "4h"
    DAY = "1d"
    RESOLVED = "resolved"

    @property
    def duration(self) -> timedelta | None:
        """How long; None until the alert is resolved."""
        return {Length.HOUR: HOUR, Length.HOURS: 4 * HOUR, Length.DAY: DAY}.get(self)


@router.get("/alerts/{alert_id}")
def show_alert(alert_id: UUID, visit: VisitDep) -> Response:
    """Show one alert."""
    with visit.reading() as session:
        seen = alert_details.details(session, alert_id, visit.only, visit.now)
    return visit.page(
        "alert.html", details=seen, verdicts=[*Verdict], may_operate=visit.may_operate
    )


@router.get("/silences")
def show_silences(visit: VisitDep) -> Response:
    """Show the silences: those that are active or to come, and the newest that expired."""
    api_keys.require(visit.visitor, Scope.READ)
    with visit.reading() as session:
        every = silences.every(session, visit.now)
    expired = [one for one in every if one.state is SilenceState.EXPIRED]
    return visit.page(
        "silences.html",
        silences=[one for one in every if one.state is not SilenceState.EXPIRED],
        expired=expired[:MOST_EXPIRED],
        may_operate=visit.may_operate,
    )


@buttons.post("/alerts/{alert_id}/acknowledge")
def acknowledge(alert_id: UUID, visit: VisitDep, note: Note = "") -> Response:
    """Acknowledge a firing alert. The first acknowledgement stands."""
    with _responding(visit, alert_id, note) as (session, alert, person):
        responses.acknowledge(session, alert, person)
        visit.record(session, "alert.acknowledge", str(alert_id), {"note": note})
    return redirect(f"/alerts/{alert_id}")


@buttons.post("/alerts/{alert_id}/silence/{length}")
def silence(alert_id: UUID, length: Length, visit: VisitDep, note: Note = "") -> Response:
    """Silence an alert for a while, or until it is resolved."""
    until = None if length.duration is None else visit.now + length.duration
    with _responding(visit, alert_id, note) as (session, alert, person):
        row = responses.silence_alert(session, alert, until, person)
        detail = {"silence": str(row.id), "note": note}
        visit.record(session, "alert.silence", str(alert_id), detail)
    return redirect(f"/alerts/{alert_id}")


@buttons.post("/alerts/{alert_id}/verdict/{verdict}")
def give_verdict(
    alert_id: UUID, verdict: Verdict, visit: VisitDep, note: Note = ""
) -> Response:
    """Give a verdict on the newest incident of an alert; it replaces one given before."""
    with _responding(visit, alert_id, note) as (session, alert, person):
        incident = responses.give_verdict(session, alert, verdict, person, None)
        detail = {"verdict": verdict, "incident": str(incident.id), "note": note}
        visit.record(session, "alert.verdict", str(alert_id), detail)
    return redirect(f"/alerts/{alert_id}")


@buttons.post("/silences/{silence_id}/expire")
def expire(silence_id: UUID, visit: VisitDep) -> Response:
    """End a silence now. Pressing twice ends it once."""
    api_keys.require(visit.visitor, Scope.OPERATE)
    with visit.ordering() as session:
        silences.expire(session, silences.find(session, silence_id), visit.now)
        visit.record(session, "silence.expire", str(silence_id), {})
    return redirect("/silences")


@contextmanager
def _responding(
    visit: Visit, alert_id: UUID, note: str
) -> Iterator[tuple[Session, Alert, Person]]:
    with visit.ordering() as session:
        alert = alert_details.visible(session, alert_id, visit.only)
        yield session, alert, Person(name=visit.visitor.name, now=visit.now, note=note)
