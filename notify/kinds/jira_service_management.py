"""The kind `jira_service_management`: alerts of Jira Service Management, or of Opsgenie.

Both take the same requests: an alert is known by its alias, a second one with the alias of an
open alert counts it up.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from core.plugins import SECRET
from notify.address import parse
from notify.channel import ChannelKind, Group, Sent, sent
from notify.notification import Notification, Status, cut, one_line
from notify.sender import Sender

LONGEST_MESSAGE, LONGEST_DESCRIPTION, LONGEST_DETAIL = 130, 15_000, 1000  # characters
PRIORITIES = {"page": "P1", "ticket": "P3"}
OTHER_PRIORITY = "P5"
SOURCE = "Seqwatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class JiraServiceManagementConfig:
    """Key of an API integration, and the address of the API.

    Attributes
    ----------
    url
        Without `/v2/alerts`. Of Opsgenie, whose API ends in April 2027:
        `https://api.opsgenie.com` or `https://api.eu.opsgenie.com`.
    """

    api_key: str = field(metadata=SECRET, repr=False)
    url: str = "https://api.atlassian.com/jsm/ops/integration"

    def __post_init__(self) -> None:
        parse(self.url)
        if not self.api_key.isascii() or not self.api_key.isprintable() or not self.api_key:
            raise ValueError("api_key must be printable ASCII characters")


def send(config: JiraServiceManagementConfig, group: Group, sender: Sender) -> Sent:
    """Create, acknowledge or close an alert."""
    [notification] = group.notifications
    alias = notification.key
    match notification.status:
        case Status.RESOLVED:
            path, content = f"/{alias}/close?identifierType=alias", _action(notification)
        case Status.ACKNOWLEDGED:
            path, content = f"/{alias}/acknowledge?identifierType=alias", _action(notification)
        case _:
            path, content = "", alert(notification)
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"GenieKey {config.api_key}",
    }
    answer = sender.post(
        f"{config.url.rstrip('/')}/v2/alerts{path}", headers, msgspec.json.encode(content)
    )
    return sent(answer, rejected=(400, 413, 422))


def alert(notification: Notification) -> dict[str, Any]:
    """Return the body of a request that creates an alert."""
    links = {link.text: link.url for link in notification.links}
    details = {**notification.facts, **links}
    return {
        "alias": notification.key,
        "message": one_line(notification.title, LONGEST_MESSAGE),
        "description": cut(notification.text, LONGEST_DESCRIPTION),
        "source": SOURCE,
        "entity": notification.source,
        "priority": PRIORITIES.get(notification.data.severity or "", OTHER_PRIORITY),
        "tags": [notification.noun],
        "details": {name: cut(text, LONGEST_DETAIL) for name, text in details.items()},
    }


def _action(notification: Notification) -> dict[str, Any]:
    return {"source": SOURCE, "note": cut(notification.text, LONGEST_DETAIL)}


KIND = ChannelKind(
    name="jira_service_management",
    question="Creates and closes alerts in Jira Service Management or Opsgenie.",
    config=JiraServiceManagementConfig,
    send=send,
)
