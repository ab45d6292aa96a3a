"""The kind `apprise`: any service of the library Apprise that the operator allows.

Apprise connects by itself: neither the address check nor the proxy of ours applies, so the
operator lists the services whose receivers are no user's choice.
"""

import logging
from dataclasses import dataclass, field

from core.errors import Unprocessable
from core.plugins import SECRET
from notify.channel import ChannelKind, Delivered, Group, Retry, Sent
from notify.notification import Status
from notify.sender import Sender

TYPES = {Status.FIRING: "failure", Status.RESOLVED: "success", Status.ACKNOWLEDGED: "warning"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppriseConfig:
    """URL of a service as Apprise writes it, such as `tgram://TOKEN/CHAT`: it is a secret."""

    url: str = field(metadata=SECRET, repr=False)

    def __post_init__(self) -> None:
        if not self.service or not self.url.isprintable() or self.url.count("://") != 1:
            raise ValueError("url: must be one URL such as tgram://TOKEN/CHAT")

    @property
    def service(self) -> str:
        """The scheme of the URL."""
        return self.url.partition("://")[0].lower()


def send(config: AppriseConfig, group: Group, sender: Sender) -> Sent:
    """Send by Apprise, which returns no reason where a service refused."""
    if config.service not in sender.apprise:
        raise Unprocessable(f"{config.service} is not in SEQWATCH_APPRISE_SERVICES")
    try:
        import apprise  # an extra; half a second
    except ImportError:
        raise Unprocessable("pip install 'seqwatch-platform[apprise]' is missing") from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it logs URLs
    [notification] = group.notifications
    service = apprise.Apprise.instantiate(config.url)
    if service is None:
        return Retry(error=f"Apprise cannot read this URL of {config.service}")
    is_sent = service.notify(
        title=notification.title,
        body="\n".join(
            (
                notification.text or notification.title,
                *(f"{name}: {value}" for name, value in notification.facts.items()),
                *(f"{link.text}: {link.url}" for link in notification.links),
            )
        ),
        notify_type=apprise.NotifyType(TYPES.get(notification.status, "info")),
    )
    return Delivered() if is_sent else Retry(error=f"{config.service} did not take it")


KIND = ChannelKind(
    name="apprise",
    question="Sends by one of the services of Apprise.",
    config=AppriseConfig,
    send=send,
)
