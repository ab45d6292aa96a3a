"""The kind `pagerduty`: incidents by the Events API v2 of PagerDuty."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from alerts.message import moment
from core.plugins import SECRET
from notify.address import parse
from notify.channel import ChannelKind, Group, Sent, sent
from notify.notification import Notification, Status, one_line
from notify.sender import Sender

LONGEST_SUMMARY = 1024  # characters
LARGEST = 512_000  # bytes of an event
SEVERITIES = {"page": "critical", "ticket": "warning"}
ACTIONS = {
    Status.FIRING: "trigger",
    Status.EVENT: "trigger",
    Status.ACKNOWLEDGED: "acknowledge",
    Status.RESOLVED: "resolve",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PagerDutyConfig:
    """Integration key of a service, and the address of the Events API.

    Attributes
    ----------
    routing_key
        Of an integration "Events API v2".
    url
        `https://events.eu.pagerduty.com` for accounts in the EU.
    """

    routing_key: str = field(metadata=SECRET, repr=False)
    url: str = "https://events.pagerduty.com"

    def __post_init__(self) -> None:
        parse(self.url)
        if not self.routing_key.isalnum():
            raise ValueError("routing_key must be letters and digits")


def send(config: PagerDutyConfig, group: Group, sender: Sender) -> Sent:
    """Post an event; of a rollout, a change event, which opens no incident."""
    [notification] = group.notifications
    is_change = notification.noun == "rollout"
    content = change if is_change else event
    path = "/v2/change/enqueue" if is_change else "/v2/enqueue"
    return sent(
        sender.post(
            config.url.rstrip("/") + path,
            {"Content-Type": "application/json"},
            within_limit({"routing_key": config.routing_key, **content(notification)}),
        ),
        rejected=(400, 413),
    )


def event(notification: Notification) -> dict[str, Any]:
    """Return an event without its routing key."""
    action, data = ACTIONS[notification.status], notification.data
    found: dict[str, Any] = {"event_action": action, "dedup_key": notification.key}
    if action != "trigger":
        return found
    payload = {
        "severity": SEVERITIES.get(data.severity or "", "info"),
        "component": data.monitor or data.subject,
        "group": data.model,
        "class": data.kind,
    }
    return found | {
        "client": "Seqwatch",
        "client_url": data.url,
        "payload": _payload(notification) | {k: v for k, v in payload.items() if v},
        "links": _links(notification),
    }


def change(notification: Notification) -> dict[str, Any]:
    """Return a change event without its routing key."""
    return {"payload": _payload(notification), "links": _links(notification)}


def within_limit(event: dict[str, Any]) -> bytes:
    """Return an event as JSON; one that is too large, without its details."""
    content = msgspec.json.encode(event)
    if len(content) <= LARGEST:
        return content
    note = {"error": f"left out: the event had {len(content)} bytes, PagerDuty takes {LARGEST}"}
    return msgspec.json.encode(event | {"payload": event["payload"] | {"custom_details": note}})


def _payload(notification: Notification) -> dict[str, Any]:
    summary = f"{notification.title}: {notification.data.cause or ''}".rstrip(": ")
    return {
        "summary": one_line(summary, LONGEST_SUMMARY),
        "source": notification.source,
        "timestamp": moment(notification.timestamp),
        "custom_details": dict(notification.facts) | {"text": notification.text},
    }


def _links(notification: Notification) -> list[dict[str, str]]:
    return [{"href": link.url, "text": link.text} for link in notification.links]


KIND = ChannelKind(
    name="pagerduty",
    question="Opens and resolves incidents in PagerDuty.",
    config=PagerDutyConfig,
    send=send,
)
