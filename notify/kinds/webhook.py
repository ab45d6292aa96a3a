"""The kind `webhook`: an HTTP POST, signed by the Standard Webhooks specification 1.0.0."""

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from core.plugins import SECRET
from notify.address import parse
from notify.channel import ChannelKind, Group, Sent, sent
from notify.sender import Sender
from notify.signing import check_secret, new_secret, sign


class Format(StrEnum):
    """Form of the body: that of docs/events.md, or an event of CloudEvents 1.0."""

    STANDARD = "standard"
    CLOUDEVENTS = "cloudevents"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookConfig:
    """URL, and the secret with which receivers verify signatures; by default a new one.

    Attributes
    ----------
    previous_secret
        Signs too, while receivers change from it to `secret`; empty: none.
    """

    url: str
    format: Format = Format.STANDARD
    secret: str = field(default_factory=new_secret, metadata=SECRET, repr=False)
    previous_secret: str = field(default="", metadata=SECRET, repr=False)

    def __post_init__(self) -> None:
        parse(self.url)
        check_secret(self.secret)
        if self.previous_secret:
            check_secret(self.previous_secret)


def send(config: WebhookConfig, group: Group, sender: Sender) -> Sent:
    """Post the notification."""
    [body] = group.bodies
    content_type = "application/json"
    if config.format is Format.CLOUDEVENTS:
        body, content_type = (
            cloud_event(group, sender.public_url),
            "application/cloudevents+json",
        )
    timestamp = int(group.at.timestamp())
    secrets = filter(None, (config.secret, config.previous_secret))
    headers = {
        "Content-Type": content_type,
        "webhook-id": group.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(one, group.id, timestamp, body) for one in secrets),
    }
    return sent(sender.post(config.url, headers, body))


def cloud_event(group: Group, public_url: str) -> bytes:
    """Return a notification as an event of CloudEvents 1.0, in structured mode.

    References
    ----------
    .. [1] CloudEvents 1.0.2, "JSON Event Format".
    """
    [body], [notification] = group.bodies, group.notifications
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": group.id,
            "source": public_url,
            "type": f"seqwatch.{notification.type}",
            "subject": notification.source,
            "time": notification.timestamp,
            "datacontenttype": "application/json",
            "data": msgspec.json.decode(body)["data"],
        }
    )


KIND = ChannelKind(
    name="webhook",
    question="Posts signed JSON to a URL.",
    config=WebhookConfig,
    send=send,
)
