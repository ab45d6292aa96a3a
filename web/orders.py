"""What a person orders with a button: retrain, promote, cancel a backtest, write a report."""

from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from db.queries import models
from db.session import unit_of_work
from db.tables import Scope
from services.access import api_keys
from services.read_models import backtests
from services.read_models.overview.rollouts import rollout
from services.read_models.reports import report_status
from services.rollouts import retraining, rollout_transitions
from web.rendering import HEADERS, PageRoute, come_from_here, site
from web.signing import NowDep, VisitorDep

router = APIRouter(
    route_class=PageRoute, include_in_schema=False, dependencies=[Depends(come_from_here)]
)

Reason = Annotated[str, Form(max_length=500)]


@router.post("/models/{name}/retrain")
def retrain(
    request: Request,
    name: str,
    visitor: VisitorDep,
    now: NowDep,
    idempotency_key: Annotated[str, Form(min_length=1, max_length=200)],
    reason: Reason = "",
) -> Response:
    """Ask for a challenger. Pressing twice asks once."""
    api_keys.require(visitor, Scope.OPERATE, visitor.model_id)
    with unit_of_work(site(request).sessions) as session:
        api_keys.require(visitor, Scope.OPERATE, models.find(session, name).id)
        words = f"{visitor.name}: {reason}" if reason else f"asked for by {visitor.name}"
        opened = retraining.request(
            session,
            name,
            retraining.Cause(reason=words),
            idempotency_key=idempotency_key,
            now=now,
        )
        session.flush()
        subject = f"{name}/{opened.id}"
        api_keys.audit(
            session, visitor.name, "retrain.request", subject, {"reason": reason}, now
        )
        address = f"/rollouts/{opened.id}"
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER, headers=HEADERS)


@router.post("/models/{name}/backtests/{backtest_id}/cancel")
def cancel_backtest(
    request: Request, name: str, backtest_id: UUID, visitor: VisitorDep, now: NowDep
) -> Response:
    """Cancel a backtest. Pressing twice cancels once."""
    api_keys.require(visitor, Scope.OPERATE, visitor.model_id)
    with unit_of_work(site(request).sessions) as session:
        model_id = models.find(session, name).id
        api_keys.require(visitor, Scope.OPERATE, model_id)
        backtests.cancel(session, model_id, backtest_id, visitor.name, now)
    return RedirectResponse(
        f"/models/{quote(name)}", status_code=HTTPStatus.SEE_OTHER, headers=HEADERS
    )


@router.post("/rollouts/{rollout_id}/{command}")
def order(
    request: Request,
    rollout_id: UUID,
    command: str,
    visitor: VisitorDep,
    now: NowDep,
    reason: Reason = "",
) -> Response:
    """Do what the button says, with the reason that was given."""
    api_keys.require(visitor, Scope.OPERATE, visitor.model_id)
    with unit_of_work(site(request).sessions) as session:
        rollout(session, rollout_id, visitor.model_id)
        rollout_transitions.command(session, rollout_id, command, visitor.name, reason, now)
        api_keys.audit(
            session,
            visitor.name,
            f"rollout.{command}",
            str(rollout_id),
            {"reason": reason},
            now,
        )
    return RedirectResponse(
        f"/rollouts/{rollout_id}", status_code=HTTPStatus.SEE_OTHER, headers=HEADERS
    )


@router.post("/findings/{finding_id}/report")
def write_report(
    request: Request, finding_id: UUID, visitor: VisitorDep, now: NowDep
) -> Response:
    """Have the Evidently report on a finding written. Pressing twice asks once."""
    api_keys.require(visitor, Scope.OPERATE, visitor.model_id)
    ours = site(request)
    with unit_of_work(ours.sessions) as session:
        finding = report_status.visible(session, finding_id, visitor.model_id)
        before = report_status.status_of(session, ours.reports, finding)
        after = report_status.ask(session, ours.reports, finding, now)
        if after != before:
            api_keys.audit(session, visitor.name, "report.ask", str(finding_id), {}, now)
    is_written = after.state is report_status.State.WRITTEN
    address = f"/findings/{finding_id}" + ("/report" if is_written else "#report")
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER, headers=HEADERS)
