"""The kind `alertmanager`: alerts for a Prometheus Alertmanager, by its API v2."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from alerts.message import moment
from core.plugins import SECRET
from notify.address import parse
from notify.channel import ChannelKind, Delivered, Group, Sent, sent
from notify.notification import AlertPart, Notification, Status
from notify.sender import Sender

SHORTEST, LONGEST = timedelta(seconds=10), timedelta(hours=1)  # between repetitions
INTERVALS = 4  # as Prometheus: an alert that was not repeated so often has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerConfig:
    """Where Alertmanager is, and how often a firing alert is sent again.

    Attributes
    ----------
    url
        Without `/api/v2/alerts`.
    token
        For a proxy that asks for `Authorization: Bearer`; empty: none.
    resend_every
        Alertmanager resolves an alert after four of these without a repetition.
    """

    url: str
    token: str = field(default="", metadata=SECRET, repr=False)
    resend_every: timedelta = timedelta(minutes=1)

    def __post_init__(self) -> None:
        parse(self.url)
        if not SHORTEST <= self.resend_every <= LONGEST:
            raise ValueError("resend_every: must be from PT10S to PT1H")


def send(config: AlertmanagerConfig, group: Group, sender: Sender) -> Sent:
    """Post the alerts; firing ones are to be sent again."""
    [notification] = group.notifications
    if notification.status is Status.ACKNOWLEDGED:  # it has no such state
        return Delivered()
    ends_at = group.at + INTERVALS * config.resend_every
    content = msgspec.json.encode(alerts(notification, ends_at, sender.public_url))
    headers = {"Content-Type": "application/json"}
    if config.token:
        headers["Authorization"] = f"Bearer {config.token}"
    result = sent(
        sender.post(f"{config.url.rstrip('/')}/api/v2/alerts", headers, content),
        rejected=(400, 413, 422),
    )
    if isinstance(result, Delivered) and notification.status is Status.FIRING:
        return Delivered(status=result.status, again=config.resend_every)
    return result


def alerts(
    notification: Notification, ends_at: datetime, public_url: str
) -> list[dict[str, Any]]:
    """Return the body of `POST /api/v2/alerts`.

    Parameters
    ----------
    notification
        What is sent. An event, which has no end, ends at `ends_at` too.
    ends_at
        When an alert that fires ends unless it is repeated.
    public_url
        For an alert without a page.
    """
    page = notification.data.finding_url or notification.data.url or public_url
    return [_alert(one, ends_at, page) for one in notification.alerts]


def _alert(alert: AlertPart, ends_at: datetime, page: str) -> dict[str, Any]:
    found = {
        "labels": {name: text for name, text in alert.labels.items() if text},
        "annotations": alert.annotations,
        "endsAt": moment(alert.ends_at or ends_at),
        "generatorURL": page,
    }
    if alert.starts_at is not None:
        # Event time: Alertmanager refuses one that starts after its end.
        found["startsAt"] = moment(min(alert.starts_at, alert.ends_at or ends_at))
    return found


KIND = ChannelKind(
    name="alertmanager",
    question="Pushes alerts to Alertmanager, and repeats them while they fire.",
    config=AlertmanagerConfig,
    send=send,
)
