"""A notification as kinds of channels read it, parsed from the body of docs/events.md."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from alerts.message import moment

LONGEST_TITLE = 200  # characters


class Status(StrEnum):
    """What a notification is about: an alert that begins or ends, or one event."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    EVENT = "event"


class AlertPart(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of a notification; `ends_at` is None while it fires."""

    fingerprint: str | None = None
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    starts_at: datetime | None = None
    ends_at: datetime | None = None


class Content(AlertPart, frozen=True, kw_only=True):
    """Entry `data` of a body; what a type lacks is None."""

    model: str | None = None
    monitor: str | None = None
    kind: str | None = None
    severity: str | None = None
    cause: str | None = None
    reason: str | None = None
    version: str | None = None
    value: float | None = None
    threshold: float | None = None
    since: datetime | None = None
    subject: str | None = None
    rollout: str | None = None
    phase: str | None = None
    champion: str | None = None
    challenger: str | None = None
    channel: str | None = None
    runbook_url: str | None = None
    finding_url: str | None = None
    url: str | None = None
    group_key: str | None = None
    alerts: tuple[AlertPart, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A page, and what it is called."""

    text: str
    url: str


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One notification.

    Attributes
    ----------
    type
        As listed in docs/events.md, such as `alert.firing`.
    timestamp
        When it was recorded, in wall time.
    data
        What happened.
    """

    type: str
    timestamp: datetime
    data: Content

    @property
    def noun(self) -> str:
        """What it is about: `alert`, `platform`, `rollout` or `channel`."""
        return self.type.partition(".")[0]

    @property
    def status(self) -> Status:
        """Whether an alert begins or ends, by the type."""
        suffix = self.type.rpartition(".")[2]
        return Status(suffix) if suffix in {*Status} - {Status.EVENT} else Status.EVENT

    @property
    def key(self) -> str:
        """SHA-256 in hex, equal for all notifications of one alert, group or rollout."""
        data = self.data
        parts = (
            self.noun,
            data.model,
            data.monitor or data.kind,
            data.severity if self.noun == "alert" else None,
            data.subject or data.rollout or data.channel,
        )
        key = data.group_key.encode() if data.group_key else msgspec.json.encode(parts)
        return hashlib.sha256(key).hexdigest()

    @property
    def source(self) -> str:
        """The model; without one, what the notification is about."""
        return self.data.model or self.data.channel or self.noun

    @property
    def title(self) -> str:
        """One line, such as `[FIRING] load: input_fault`."""
        data, count = self.data, len(self.data.alerts)
        what = data.monitor or data.kind or self.type.replace(".", " ").replace("_", " ")
        if data.subject:
            what = f"{what} {data.subject}"
        if count > 1:
            what = f"{what} ({count} alerts)"
        mark = "" if self.status is Status.EVENT else f"[{self.status.upper()}] "
        return one_line(f"{mark}{self.source}: {what}", LONGEST_TITLE)

    @property
    def facts(self) -> Mapping[str, str]:
        """What is known beside the cause, by name."""
        data = self.data
        found = {
            "Severity": data.severity,
            "Version": data.version,
            "Value": None if data.value is None else f"{data.value:.6g}",
            "Threshold": None if data.threshold is None else f"{data.threshold:.6g}",
            "Since": None if data.since is None else moment(data.since),
            "Champion": data.champion,
            "Challenger": data.challenger,
        }
        return {name: one_line(text, LONGEST_TITLE) for name, text in found.items() if text}

    @property
    def links(self) -> tuple[Link, ...]:
        """Pages to read next, the runbook first."""
        data = self.data
        found = ("Runbook", data.runbook_url), ("Finding", data.finding_url), ("Page", data.url)
        return tuple(Link(text=text, url=url) for text, url in found if url)

    @property
    def alerts(self) -> tuple[AlertPart, ...]:
        """The alerts of a group; of another notification it alone, with labels."""
        if self.data.alerts:
            return self.data.alerts
        data = self.data
        of_it = {
            "alertname": data.monitor or data.kind or self.type,
            "model": data.model,
            "severity": data.severity,
            "subject": data.subject or data.rollout or data.channel,
        }
        about = {
            "summary": self.title,
            "description": data.cause,
            "runbook_url": data.runbook_url,
        }
        is_over = self.status is Status.RESOLVED
        return (
            AlertPart(
                fingerprint=data.fingerprint,
                labels=data.labels or {name: text for name, text in of_it.items() if text},
                annotations=data.annotations
                or {name: text for name, text in about.items() if text},
                starts_at=data.starts_at or data.since or self.timestamp,
                ends_at=data.ends_at or (self.timestamp if is_over else None),
            ),
        )

    @property
    def text(self) -> str:
        """The cause, and one line for each alert of a group: plain text."""
        lines = [self.data.cause or ""]
        if len(self.data.alerts) > 1:
            lines += [_line(one) for one in self.data.alerts]
        return "\n".join(filter(None, lines))


def read(body: bytes) -> Notification:
    """Parse a body.

    Raises
    ------
    msgspec.ValidationError
        If it is none.

    Examples
    --------
    >>> at = '"timestamp":"2026-01-08T00:00:00Z"'
    >>> body = f'{{"type":"alert.firing",{at},"data":{{"model":"m"}}}}'.encode()
    >>> read(body).title
    '[FIRING] m: alert firing'
    """
    return msgspec.json.decode(body, type=Notification)


def one_line(text: str, longest: int) -> str:
    r"""Return a text without line breaks or control characters, cut with an ellipsis.

    Examples
    --------
    >>> one_line("a\r\nBcc: b", 5)
    'a Bc…'
    """
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return cut(flat, longest)


def cut(text: str, longest: int) -> str:
    """Return at most so many characters of a text; the last is an ellipsis where it is cut.

    Examples
    --------
    >>> cut("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _line(alert: AlertPart) -> str:
    state = "firing" if alert.ends_at is None else "resolved"
    labels: dict[str, Any] = {**alert.labels}
    name = labels.pop("alertname", "alert")
    rest = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return one_line(f"- {state}: {name} ({rest})", LONGEST_TITLE)
