"""Actions of the pages: retrain, promote, cancel a backtest, write a report."""

from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Response

from db.queries import models
from db.tables import Scope
from services.access import api_keys
from services.read_models import backtests
from services.read_models.overview.rollouts import rollout
from services.read_models.reports import report_status
from services.rollouts import retraining, rollout_transitions
from web.rendering import PageRoute, come_from_here, redirect
from web.signing import VisitDep

router = APIRouter(
    route_class=PageRoute, include_in_schema=False, dependencies=[Depends(come_from_here)]
)

Reason = Annotated[str, Form(max_length=500)]


@router.post("/models/{name}/retrain")
def retrain(
    name: str,
    visit: VisitDep,
    idempotency_key: Annotated[str, Form(min_length=1, max_length=200)],
    reason: Reason = "",
) -> Response:
    """Request a challenger. Pressing twice requests one."""
    who = visit.visitor
    with visit.ordering() as session:
        api_keys.require(who, Scope.OPERATE, models.find(session, name).id)
        words = f"{who.name}: {reason}" if reason else f"asked for by {who.name}"
        opened = retraining.request(
            session,
            name,
            retraining.Cause(reason=words),
            idempotency_key=idempotency_key,
            now=visit.now,
        )
        session.flush()
        visit.record(session, "retrain.request", f"{name}/{opened.id}", {"reason": reason})
        return redirect(f"/rollouts/{opened.id}")


@router.post("/models/{name}/backtests/{backtest_id}/cancel")
def cancel_backtest(name: str, backtest_id: UUID, visit: VisitDep) -> Response:
    """Cancel a backtest. Pressing twice cancels once."""
    with visit.ordering() as session:
        model_id = models.find(session, name).id
        api_keys.require(visit.visitor, Scope.OPERATE, model_id)
        backtests.cancel(session, model_id, backtest_id, visit.visitor.name, visit.now)
    return redirect(f"/models/{quote(name)}")


@router.post("/rollouts/{rollout_id}/{command}")
def order(rollout_id: UUID, command: str, visit: VisitDep, reason: Reason = "") -> Response:
    """Execute the command of a button, with the given reason."""
    with visit.ordering() as session:
        rollout(session, rollout_id, visit.only)
        rollout_transitions.command(
            session, rollout_id, command, visit.visitor.name, reason, visit.now
        )
        visit.record(session, f"rollout.{command}", str(rollout_id), {"reason": reason})
    return redirect(f"/rollouts/{rollout_id}")


@router.post("/findings/{finding_id}/report")
def write_report(finding_id: UUID, visit: VisitDep) -> Response:
    """Request the Evidently report on a finding. Pressing twice requests one."""
    reports = visit.site.reports
    with visit.ordering() as session:
        finding = report_status.visible(session, finding_id, visit.only)
        before = report_status.status_of(session, reports, finding)
        after = report_status.ask(session, reports, finding, visit.now)
        if after != before:
            visit.record(session, "report.ask", str(finding_id), {})
    is_written = after.state is report_status.State.WRITTEN
    return redirect(f"/findings/{finding_id}" + ("/report" if is_written else "#report"))
