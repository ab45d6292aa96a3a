"""The kind `slack`: a message to a channel of Slack, by an incoming webhook."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from core.plugins import SECRET
from notify.address import parse
from notify.channel import ChannelKind, Group, Sent, sent
from notify.notification import Notification, Status, cut
from notify.sender import Sender

LONGEST_TEXT = 3000  # characters; Slack folds longer ones
COLOURS = {
    Status.FIRING: "danger",
    Status.RESOLVED: "good",
    Status.ACKNOWLEDGED: "warning",
    Status.EVENT: "#4a6785",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackConfig:
    """URL of an incoming webhook, `https://hooks.slack.com/services/…`: it is a secret."""

    url: str = field(metadata=SECRET, repr=False)

    def __post_init__(self) -> None:
        parse(self.url)


def send(config: SlackConfig, group: Group, sender: Sender) -> Sent:
    """Post a message; the end of an alert is another one, as a webhook cannot edit."""
    [notification] = group.notifications
    content = msgspec.json.encode(message(notification))
    answer = sender.post(config.url, {"Content-Type": "application/json"}, content)
    return sent(answer, rejected=(400, 413))


def message(notification: Notification) -> dict[str, Any]:
    """Return the message. Nothing in it mentions people or is a link but the pages."""
    title = escape(notification.title)
    links = " · ".join(f"<{link.url}|{link.text}>" for link in notification.links)
    text = escape(cut(notification.text, LONGEST_TEXT))
    facts = [
        {"title": name, "value": escape(value), "short": True}
        for name, value in notification.facts.items()
    ]
    return {
        "text": title,
        "attachments": [
            {
                "fallback": title,
                "color": COLOURS[notification.status],
                "text": "\n".join(filter(None, (text, links))),
                "fields": facts,
                "mrkdwn_in": ["text"],
                "ts": int(notification.timestamp.timestamp()),
            }
        ],
    }


def escape(text: str) -> str:
    """Return a text in which nothing is a link or a mention.

    Examples
    --------
    >>> escape("<!channel> & others")
    '&lt;!channel&gt; &amp; others'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


KIND = ChannelKind(
    name="slack",
    question="Posts messages to a channel of Slack.",
    config=SlackConfig,
    send=send,
)
