"""Monitors of a model over HTTP."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from api.dependencies import ActDep, OperateModel, ReadDep, ReadModel
from api.json_route import JsonRoute
from api.models import MonitorRead
from core.errors import NotFound
from services import describing, monitoring, registry

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
def list_monitors(entry: ReadModel, session: ReadDep) -> list[describing.MonitorNow]:
    """List a model's monitors."""
    return describing.monitors_of(session, entry.model_id)


@router.get("/{name}", response_model=MonitorRead)
def read_monitor(name: str, entry: ReadModel, session: ReadDep) -> describing.MonitorNow:
    """Describe one monitor."""
    for monitor in describing.monitors_of(session, entry.model_id):
        if monitor.name == name:
            return monitor
    raise NotFound(f"no monitor {name!r} of this model")


@router.put("/{name}", response_model=MonitorRead)
def put_monitor(
    name: str, body: MonitorPut, answer: Response, entry: OperateModel, act: ActDep
) -> describing.MonitorNow:
    """Add a monitor, or change its parameters, severity or whether it runs."""
    registry.check_name("monitor", name)
    plan = monitoring.MonitorPlan(name=name, **body.model_dump())
    is_new = monitoring.put(act.session, entry.model_id, plan)
    action = "monitor.add" if is_new else "monitor.update"
    act.record(action, f"{entry.name}/{name}", body.model_dump(mode="json"))
    answer.status_code = 201 if is_new else 200
    return read_monitor(name, entry, act.session)
