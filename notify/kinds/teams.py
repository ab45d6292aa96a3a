"""The kind `teams`: a card in a channel of Microsoft Teams, by a webhook of Workflows."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from core.plugins import SECRET
from notify.address import parse
from notify.channel import ChannelKind, Group, Sent, sent
from notify.notification import Notification, Status, cut
from notify.sender import Sender

# Teams takes 28 kB. Bodies bound links to 4,000 characters and facts to 200.
LARGEST = 28_000  # bytes
LONGEST_TEXT = 2000  # characters: 8 kB at most
COLOURS = {Status.FIRING: "Attention", Status.RESOLVED: "Good", Status.ACKNOWLEDGED: "Warning"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamsConfig:
    """URL of a workflow "When a Teams webhook request is received": it is a secret."""

    url: str = field(metadata=SECRET, repr=False)

    def __post_init__(self) -> None:
        parse(self.url)


def send(config: TeamsConfig, group: Group, sender: Sender) -> Sent:
    """Post a card."""
    [notification] = group.notifications
    content = msgspec.json.encode(message(notification))
    answer = sender.post(config.url, {"Content-Type": "application/json"}, content)
    return sent(answer, rejected=(400, 413))


def message(notification: Notification) -> dict[str, Any]:
    """Return a message with an Adaptive Card 1.4.

    Text runs, as text blocks and facts read Markdown: a cause may hold text of others.
    """
    colour = COLOURS.get(notification.status, "Accent")
    title = {"text": notification.title, "weight": "Bolder", "color": colour, "size": "Medium"}
    body = [_block(title)]
    if notification.text:
        body.append(_block({"text": cut(notification.text, LONGEST_TEXT)}))
    body += [
        _block({"text": f"{name}: ", "weight": "Bolder"}, {"text": value})
        for name, value in notification.facts.items()
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": [
            {"type": "Action.OpenUrl", "title": link.text, "url": link.url}
            for link in notification.links
        ],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


def _block(*runs: dict[str, str]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}


KIND = ChannelKind(
    name="teams",
    question="Posts cards to a channel of Microsoft Teams.",
    config=TeamsConfig,
    send=send,
)
