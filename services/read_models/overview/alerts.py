"""Firing alerts, changes of alerts, and notifications."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy.orm import Session

from alerts.state import Phase
from core.stored import from_attributes
from db.queries.read import overview
from db.tables import Delivery
from services.platform_faults import platform_alerts
from services.platform_faults.platform_alerts import OpenFault
from services.read_models import lists
from services.read_models.lists import AlertNow, FlipPast
from services.read_models.overview.monitor_status import MonitorStatus, status_of
from services.read_models.paging import Paging

HISTORY = 100  # rows of history on a page


class DeliveryState(StrEnum):
    """Where a message stands."""

    DELIVERED = "delivered"
    WAITING = "waiting"
    RETRYING = "retrying"
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A monitor that fires, or is about to, and its alert."""

    model: str
    alert: AlertNow
    monitor_status: MonitorStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one channel; times are wall time. `model` is None where it names none."""

    channel: str
    model: str | None
    type: str
    state: DeliveryState
    attempts: int
    last_status: int | None
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None
    not_before: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsPage:
    """Everything about alerts, the most pressing first."""

    platform: tuple[OpenFault, ...]
    alarms: tuple[Alarm, ...]
    alert_changes: tuple[FlipPast, ...]
    messages: tuple[Message, ...]


def alerts(session: Session, only: UUID | None, now: datetime) -> AlertsPage:
    """Describe the alerts of every model, or of the only one that the reader may see."""
    names = {model.id: model.name for model, _, _ in overview.models(session, only)}
    each = {one.id: one for one in lists.alerts(session, only, now)}
    alarms = [
        Alarm(
            model=names[monitor.model_id],
            alert=each[alert.id],
            monitor_status=status_of(monitor, alert, finding),
        )
        for monitor, alert, finding in overview.monitor_statuses(session, names)
        if alert is not None and alert.phase is not Phase.QUIET and monitor.enabled
    ]
    # Firing before pending, pages before tickets.
    alarms.sort(
        key=lambda alarm: (
            alarm.monitor_status.phase is not Phase.FIRING,
            alarm.monitor_status.severity != "page",
            alarm.model,
            alarm.monitor_status.name,
        )
    )
    return AlertsPage(
        platform=tuple(platform_alerts.described(session, only)),
        alarms=tuple(alarms),
        alert_changes=alert_changes(session, only, HISTORY),
        messages=tuple(
            from_attributes(
                Message, delivery, channel=channel, model=model, state=state_of(delivery)
            )
            for delivery, channel, model in overview.deliveries(session, only, HISTORY)
        ),
    )


def alert_changes(session: Session, model_id: UUID | None, limit: int) -> tuple[FlipPast, ...]:
    """Return the newest flips, newest first."""
    return tuple(lists.flips(session, model_id, Paging(limit=limit)).items)


def state_of(delivery: Delivery) -> DeliveryState:
    """Return the state of a delivery."""
    if delivery.delivered:
        return DeliveryState.DELIVERED
    if delivery.finished_at is not None:
        return DeliveryState.GIVEN_UP
    return DeliveryState.RETRYING if delivery.attempts else DeliveryState.WAITING
