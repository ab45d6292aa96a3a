"""Alerts, flips, findings and accuracy over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from pydantic import Field

from alerts.state import Verdict
from api.server.body import Body, Moment
from api.server.dependencies import (
    ActDep,
    NowDep,
    PlatformDep,
    ReachDep,
    ReadDep,
    ReadModel,
)
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from db.tables import Alert, Scope
from monitors.finding import Outcome
from services.access import api_keys
from services.alerting import responses, silences
from services.platform_faults import platform_alerts
from services.read_models import alert_details, lists
from services.read_models.paging import Page
from services.read_models.post_mortems import post_mortem
from services.read_models.runbooks import runbook

router = APIRouter(prefix="/v1", tags=["alerts"], route_class=JsonRoute)


class Markdown(PlainTextResponse):
    """Text in Markdown."""

    media_type = "text/markdown"


@router.get("/models/{model}/accuracy")
def read_accuracy(
    entry: ReadModel, session: ReadDep, days: Annotated[int, Query(ge=1, le=3660)] = 90
) -> lists.Accuracy:
    """Return the errors of a model on its last event days."""
    return lists.accuracy(session, entry.model_id, entry.contract, days)


@router.get("/alerts")
def list_alerts(
    reach: ReachDep, session: ReadDep, paging: PagingDep, now: NowDep
) -> Page[lists.AlertNow]:
    """List every alert, quiet ones too, by model and monitor."""
    return paging.cut(lists.alerts(session, reach, now), lambda alert: str(alert.id))


@router.get("/alerts/{alert_id}")
def read_alert(
    alert_id: UUID, reach: ReachDep, session: ReadDep, now: NowDep
) -> alert_details.AlertDetails:
    """Describe one alert: its incidents, who was notified, and what silences it."""
    return alert_details.details(session, alert_id, reach, now)


class Note(Body):
    """Why, for others."""

    note: str = Field(default="", max_length=2000)


class SilenceUntil(Note):
    """Until when an alert is silenced, by default until it is resolved; and why."""

    until: Moment | None = None


class VerdictBody(Note):
    """What an alert was; `incident` is by default its newest one."""

    verdict: Verdict
    incident: UUID | None = None


@router.post("/alerts/{alert_id}/acknowledge")
def acknowledge(alert_id: UUID, body: Note, act: ActDep) -> lists.IncidentPast:
    """Acknowledge a firing alert: it is neither repeated nor escalated."""
    alert, person = _alert(alert_id, body, act)
    incident = responses.acknowledge(act.session, alert, person)
    act.record("alert.acknowledge", str(alert_id), {"note": body.note})
    return lists.incident(incident)


@router.post("/alerts/{alert_id}/silence", status_code=201)
def silence_alert(alert_id: UUID, body: SilenceUntil, act: ActDep) -> silences.SilenceNow:
    """Silence one alert until a moment, or until it is resolved."""
    alert, person = _alert(alert_id, body, act)
    row = responses.silence_alert(act.session, alert, body.until, person)
    act.record("alert.silence", str(alert_id), {"silence": str(row.id), "note": body.note})
    return silences.described(row, act.now)


@router.post("/alerts/{alert_id}/verdict")
def give_verdict(alert_id: UUID, body: VerdictBody, act: ActDep) -> lists.IncidentPast:
    """Give a verdict on what an alert was; this resolves nothing."""
    alert, person = _alert(alert_id, body, act)
    incident = responses.give_verdict(act.session, alert, body.verdict, person, body.incident)
    detail = {"verdict": body.verdict, "incident": str(incident.id), "note": body.note}
    act.record("alert.verdict", str(alert_id), detail)
    return lists.incident(incident)


def _alert(alert_id: UUID, body: Note, act: ActDep) -> tuple[Alert, responses.Person]:
    api_keys.require(act.caller, Scope.OPERATE, act.caller.model_id)
    alert = responses.find(act.session, alert_id)
    api_keys.require(act.caller, Scope.OPERATE, alert.model_id)
    return alert, responses.Person(name=act.caller.name, now=act.now, note=body.note)


@router.get("/incidents")
def list_incidents(
    reach: ReachDep, session: ReadDep, paging: PagingDep
) -> Page[lists.IncidentPast]:
    """List incidents, each an alert from when it fired until it was resolved, newest first."""
    return lists.incidents(session, reach, paging)


@router.get("/alerts/{alert_id}/runbook", response_class=Markdown)
def read_runbook(
    alert_id: UUID, reach: ReachDep, parts: PlatformDep, session: ReadDep, now: NowDep
) -> Markdown:
    """Return the runbook of an alert as Markdown, with the model's values as of now."""
    return Markdown(
        runbook.write(session, parts.settings.reports, alert_id, reach, now).markdown
    )


@router.get("/incidents/{incident_id}/post-mortem", response_class=Markdown)
def read_post_mortem(
    incident_id: UUID, reach: ReachDep, parts: PlatformDep, session: ReadDep, now: NowDep
) -> Markdown:
    """Return the draft of a post-mortem of an incident, as Markdown."""
    return Markdown(post_mortem.write(session, parts.settings.reports, incident_id, reach, now))


@router.get("/platform-alerts")
def list_platform_alerts(
    reach: ReachDep, session: ReadDep, paging: PagingDep
) -> Page[platform_alerts.OpenFault]:
    """List the open faults of the platform itself, oldest first."""
    faults = platform_alerts.described(session, reach)
    return paging.cut(faults, lambda fault: f"{fault.kind} {fault.subject}")


@router.get("/flips")
def list_flips(reach: ReachDep, session: ReadDep, paging: PagingDep) -> Page[lists.FlipPast]:
    """List the flips of alerts, newest first."""
    return lists.flips(session, reach, paging)


@router.get("/models/{model}/findings")
def list_findings(
    entry: ReadModel,
    session: ReadDep,
    paging: PagingDep,
    monitor: str | None = None,
    outcome: Outcome | None = None,
) -> Page[lists.FindingPast]:
    """List a model's findings, newest first."""
    return lists.findings(session, entry.model_id, monitor, outcome, paging)
