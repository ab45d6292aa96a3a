"""The kind `webhook`: an HTTP POST, signed by the Standard Webhooks specification 1.0.0."""

from dataclasses import dataclass, field

from core.plugins import SECRET
from notify.address import parse
from notify.channel import ChannelKind, Delivered, Disable, Group, Retry, Sent
from notify.sender import Sender
from notify.signing import check_secret, new_secret, sign

GONE = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookConfig:
    """URL, and the secret with which receivers verify signatures; by default a new one."""

    url: str
    secret: str = field(default_factory=new_secret, metadata=SECRET, repr=False)

    def __post_init__(self) -> None:
        parse(self.url)
        check_secret(self.secret)


def send(config: WebhookConfig, group: Group, sender: Sender) -> Sent:
    """Post the notification. Any status but 410 is tried again.

    A receiver that is being rolled out answers 401 or 404 for a while, and the page must not
    be lost for that.
    """
    [body] = group.bodies
    timestamp = int(group.at.timestamp())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": group.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(config.secret, group.id, timestamp, body),
    }
    answer = sender.post(config.url, headers, body)
    if answer.error is None:
        return Delivered(status=answer.status)
    if answer.status == GONE:
        return Disable(error=f"{answer.error}: gone", status=GONE)
    return Retry(error=answer.error, status=answer.status, after=answer.retry_after)


KIND = ChannelKind(
    name="webhook",
    question="Posts signed JSON to a URL.",
    config=WebhookConfig,
    send=send,
)
