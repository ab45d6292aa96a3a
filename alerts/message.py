"""Bodies of notifications. Every type is described in docs/events.md."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from monitors.finding import Severity

_PATHS = ("url", "finding_url", "runbook_url")  # entries that may hold the path of a page
LONGEST_TEXT = 4000  # characters; the specification wants bodies under 20 kB
LONGEST_OF_MANY = 300  # of each alert of a group
MOST_ALERTS = 10  # of a notification


class Type(StrEnum):
    """Type of a notification."""

    ALERT_FIRING = "alert.firing"
    ALERT_RESOLVED = "alert.resolved"
    ROLLOUT_CANARY = "rollout.canary"
    ROLLOUT_STEPPED_UP = "rollout.stepped_up"
    ROLLOUT_PAUSED = "rollout.paused"
    ROLLOUT_PROMOTED = "rollout.promoted"
    ROLLOUT_REJECTED = "rollout.rejected"
    ROLLOUT_ROLLED_BACK = "rollout.rolled_back"
    ROLLOUT_FAILED = "rollout.failed"
    CHANNEL_DISABLED = "channel.disabled"
    CHANNEL_TEST = "channel.test"
    PLATFORM_FIRING = "platform.firing"
    PLATFORM_RESOLVED = "platform.resolved"


def compose(kind: Type, at: datetime, page: str, content: Mapping[str, Any]) -> bytes:
    """Return the body that is stored with its cause.

    Parameters
    ----------
    kind
        What happened.
    at
        When it was recorded, in wall time.
    page
        The path of the page that shows it.
    content
        Plain JSON; long texts are cut.

    Examples
    --------
    >>> from datetime import UTC
    >>> compose(Type.CHANNEL_TEST, datetime(2026, 1, 1, tzinfo=UTC), "/", {"channel": "me"})
    b'{"type":"channel.test","timestamp":"2026-01-01T00:00:00Z","data":{"channel":"me","url":"/"}}'
    """
    short = {
        name: value[:LONGEST_TEXT] if isinstance(value, str) else value
        for name, value in content.items()
    }
    return _encode(
        {"type": kind.value, "timestamp": moment(at), "data": {**short, "url": page}}
    )


def compose_group(
    key: str, why: str, at: datetime, alerts: Sequence[Mapping[str, Any]], *, is_firing: bool
) -> bytes:
    """Return the body of the notification of a group: its most pressing alert, and all.

    Parameters
    ----------
    key
        Of the group.
    why
        Why it is notified.
    at
        When it was decided, in wall time.
    alerts
        What each is, in the order they began.
    is_firing
        Whether any of the group fires.
    """
    kind = Type.ALERT_FIRING if is_firing else Type.ALERT_RESOLVED
    short = [
        {
            name: value[:LONGEST_OF_MANY] if isinstance(value, str) else value
            for name, value in alert.items()
        }
        for alert in alerts
    ]
    lead = min(
        alerts, key=lambda one: (one["status"] != "firing", one["severity"] != Severity.PAGE)
    )
    content = {**lead, "group_key": key, "notification_reason": why, "alerts": short}
    page = content.pop("url")
    return compose(kind, at, page, content)


def absolute(body: bytes, public_url: str) -> bytes:
    """Return the body as it is sent: where this installation is, only the sender knows.

    Examples
    --------
    >>> absolute(b'{"data":{"finding_url":"/findings/1","url":"/"}}', "https://watch.example/")
    b'{"data":{"finding_url":"https://watch.example/findings/1","url":"https://watch.example/"}}'
    """
    content = json.loads(body)
    fields = content["data"]
    for alert in (fields, *fields.get("alerts", ())):
        for one in (alert, alert.get("annotations", {})):
            one |= addresses(one, public_url)
    return _encode(content)


def addresses(fields: Mapping[str, Any], public_url: str) -> dict[str, str]:
    """Return those fields that hold the path of a page, each with the address of the page.

    Examples
    --------
    >>> addresses({"url": "/models/grid", "model": "grid"}, "https://watch.example/")
    {'url': 'https://watch.example/models/grid'}
    """
    return {
        name: public_url.rstrip("/") + fields[name]
        for name in _PATHS
        if (fields.get(name) or "").startswith("/")
    }


def moment(at: datetime) -> str:
    """Return a moment in RFC 3339, ending in Z."""
    return at.isoformat().replace("+00:00", "Z")


def _encode(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
