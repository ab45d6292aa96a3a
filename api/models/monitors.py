"""Monitors of a model over HTTP."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy.orm import Session

from api.server.body import Body
from api.server.dependencies import (
    ActDep,
    OperateModel,
    PreconditionDep,
    ReadDep,
    ReadModel,
    entity_tag,
)
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from api.server.responses import created
from services.models import monitor_config, registry
from services.read_models import model_details
from services.read_models.paging import Page
from services.retention import deletion

router = APIRouter(
    prefix="/v1/models/{model}/monitors", tags=["monitors"], route_class=JsonRoute
)


class MonitorPut(Body):
    """Kind and parameters of a monitor; the default severity is that of its kind."""

    kind: str
    params: dict[str, Any] = Field(default_factory=dict)
    severity: str | None = None
    enabled: bool = True


@router.get("")
def list_monitors(
    entry: ReadModel, session: ReadDep, paging: PagingDep
) -> Page[model_details.MonitorNow]:
    """List a model's monitors, by name."""
    monitors = model_details.monitors_of(session, entry.model_id)
    return paging.cut(monitors, lambda monitor: monitor.name)


@router.get("/{name}")
def read_monitor(
    name: str, entry: ReadModel, session: ReadDep, answer: Response
) -> model_details.MonitorNow:
    """Describe one monitor; the entity tag changes with what was put, not with its alert."""
    return _tagged(model_details.monitor_of(session, entry.model_id, name), answer)


@router.put("/{name}", responses=created(model_details.MonitorNow))
def put_monitor(
    name: str,
    body: MonitorPut,
    answer: Response,
    entry: OperateModel,
    act: ActDep,
    precondition: PreconditionDep,
) -> model_details.MonitorNow:
    """Add a monitor, or change its parameters, severity or whether it runs."""
    registry.check_name("monitor", name)
    precondition.check(lambda: _locked_tag(act.session, entry, name))
    plan = monitor_config.MonitorPlan(name=name, **body.model_dump())
    is_new = monitor_config.put(act.session, entry.model_id, plan)
    action = "monitor.add" if is_new else "monitor.update"
    act.record(action, f"{entry.name}/{name}", body.model_dump(mode="json"))
    answer.status_code = 201 if is_new else 200
    return _tagged(model_details.monitor_of(act.session, entry.model_id, name), answer)


@router.delete("/{name}", status_code=204, response_class=Response)
def delete_monitor(
    name: str, entry: OperateModel, act: ActDep, precondition: PreconditionDep
) -> None:
    """Delete a monitor with its findings and its alert, which is resolved first if it fires."""
    precondition.check(lambda: _locked_tag(act.session, entry, name))
    deletion.delete_monitor(act.session, entry.model_id, name, act.now)
    act.record("monitor.delete", f"{entry.name}/{name}")


def _tagged(monitor: model_details.MonitorNow, answer: Response) -> model_details.MonitorNow:
    answer.headers["ETag"] = _tag(monitor)
    return monitor


def _tag(monitor: model_details.MonitorNow) -> str:
    return entity_tag(monitor.kind, monitor.params, monitor.severity, monitor.enabled)


def _locked_tag(session: Session, entry: registry.Entry, name: str) -> str:
    registry.lock(session, entry.name)
    return _tag(model_details.monitor_of(session, entry.model_id, name))
