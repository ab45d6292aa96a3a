"""One finding over HTTP: its explanation, and the Evidently report on it."""

from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel

from api.server.dependencies import ActDep, CallerDep, NowDep, PlatformDep, ReadDep
from db.tables import Scope
from services.access import api_keys
from services.read_models.explanations.finding import Explanation, explain
from services.read_models.reports import report_status
from services.read_models.reports.report_status import State

router = APIRouter(prefix="/v1/findings/{finding_id}", tags=["alerts"])


class ReportRead(BaseModel):
    """Status of the report on a finding, and its address."""

    state: State
    why: str
    url: str


@router.get("")
def read_finding(
    finding_id: UUID, who: CallerDep, parts: PlatformDep, session: ReadDep, now: NowDep
) -> Explanation:
    """Explain a finding: what changed, since when, and other changes at that time."""
    api_keys.require(who, Scope.READ, who.model_id)
    return explain(session, parts.settings.reports, finding_id, who.model_id, now)


@router.get("/report", response_class=FileResponse)
def read_report(
    finding_id: UUID, who: CallerDep, parts: PlatformDep, session: ReadDep
) -> FileResponse:
    """Send the Evidently report on a finding: HTML, for a sandbox."""
    api_keys.require(who, Scope.READ, who.model_id)
    path = report_status.locate(session, parts.settings.reports, finding_id, who.model_id)
    return FileResponse(path, media_type="text/html", headers=report_status.HEADERS)


@router.post(
    "/report",
    responses={
        HTTPStatus.ACCEPTED: {"model": ReportRead, "description": "It will be written."}
    },
)
def write_report(
    finding_id: UUID, answer: Response, act: ActDep, parts: PlatformDep
) -> ReportRead:
    """Request the Evidently report on a finding.

    200 when it is written; 202 when it will be, also when it was requested before.
    """
    api_keys.require(act.caller, Scope.OPERATE, act.caller.model_id)
    finding = report_status.visible(act.session, finding_id, act.caller.model_id)
    before = report_status.status_of(act.session, parts.settings.reports, finding)
    now = report_status.ask(act.session, parts.settings.reports, finding, act.now)
    if now != before:
        act.record("report.ask", str(finding_id))
    if now.state is not State.WRITTEN:
        answer.status_code = HTTPStatus.ACCEPTED
    return ReportRead(state=now.state, why=now.why, url=f"/v1/findings/{finding_id}/report")
