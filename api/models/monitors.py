"""Monitors of a model over HTTP."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from api.models.models import MonitorRead
from api.server.dependencies import ActDep, OperateModel, ReadDep, ReadModel
from api.server.json_route import JsonRoute
from core.errors import NotFound
from services.models import monitor_config, registry
from services.read_models import model_details

router = APIRouter(
    prefix="/v1/models/{model}/monitors", tags=["monitors"], route_class=JsonRoute
)


class MonitorPut(BaseModel):
    """What to watch; without a severity it takes its kind's."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    params: dict[str, Any] = {}
    severity: str | None = None
    enabled: bool = True


@router.get("", response_model=list[MonitorRead])
def list_monitors(entry: ReadModel, session: ReadDep) -> list[model_details.MonitorNow]:
    """List a model's monitors."""
    return model_details.monitors_of(session, entry.model_id)


@router.get("/{name}", response_model=MonitorRead)
def read_monitor(name: str, entry: ReadModel, session: ReadDep) -> model_details.MonitorNow:
    """Describe one monitor."""
    for monitor in model_details.monitors_of(session, entry.model_id):
        if monitor.name == name:
            return monitor
    raise NotFound(f"no monitor {name!r} of this model")


@router.put("/{name}", response_model=MonitorRead)
def put_monitor(
    name: str, body: MonitorPut, answer: Response, entry: OperateModel, act: ActDep
) -> model_details.MonitorNow:
    """Add a monitor, or change its parameters, severity or whether it runs."""
    registry.check_name("monitor", name)
    plan = monitor_config.MonitorPlan(name=name, **body.model_dump())
    is_new = monitor_config.put(act.session, entry.model_id, plan)
    action = "monitor.add" if is_new else "monitor.update"
    act.record(action, f"{entry.name}/{name}", body.model_dump(mode="json"))
    answer.status_code = 201 if is_new else 200
    return read_monitor(name, entry, act.session)
