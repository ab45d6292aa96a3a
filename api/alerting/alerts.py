"""Alerts, flips, findings and accuracy over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

from api.server.dependencies import NowDep, PlatformDep, ReachDep, ReadDep, ReadModel
from api.server.paging import PagingDep
from monitors.finding import Outcome
from services.platform_faults import platform_alerts
from services.read_models import lists
from services.read_models.paging import Page
from services.read_models.post_mortems import post_mortem
from services.read_models.runbooks import runbook

router = APIRouter(prefix="/v1", tags=["alerts"])


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
def list_alerts(reach: ReachDep, session: ReadDep, paging: PagingDep) -> Page[lists.AlertNow]:
    """List every alert, quiet ones too, by model and monitor."""
    return paging.cut(lists.alerts(session, reach), lambda alert: str(alert.id))


@router.get("/alerts/{alert_id}/runbook", response_class=Markdown)
def read_runbook(
    alert_id: UUID, reach: ReachDep, parts: PlatformDep, session: ReadDep, now: NowDep
) -> Markdown:
    """Return the runbook of an alert as Markdown, with the model's values as of now."""
    return Markdown(
        runbook.write(session, parts.settings.reports, alert_id, reach, now).markdown
    )


@router.get("/flips/{flip_id}/post-mortem", response_class=Markdown)
def read_post_mortem(
    flip_id: UUID, reach: ReachDep, parts: PlatformDep, session: ReadDep, now: NowDep
) -> Markdown:
    """Return the draft of a post-mortem of an alert that fired, as Markdown."""
    return Markdown(post_mortem.write(session, parts.settings.reports, flip_id, reach, now))


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
