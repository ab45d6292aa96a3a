"""A channel of kind `alertmanager` opens and ends alerts of a real Alertmanager."""

from datetime import timedelta
from ipaddress import ip_network

import httpx

from core.clock import utcnow
from notify.channel import Delivered
from notify.kinds.alertmanager import KIND
from notify.sender import Sender
from tests.notify.kinds.bodies import GROUPED, group


def active(alertmanager: str) -> set[tuple[str, str]]:
    found = httpx.get(f"{alertmanager}/api/v2/alerts", trust_env=False).json()
    labels = [one["labels"] for one in found]
    return {(one["model"], one.get("severity", "")) for one in labels}


def test_alertmanager_takes_our_alerts_and_their_ends(alertmanager: str) -> None:
    sender = Sender(
        allow=[ip_network("127.0.0.0/8")],
        timeout=timedelta(seconds=10),
        public_url="https://watch.example",
    )
    config, now = KIND.parsed({"url": alertmanager}), utcnow()
    again = Delivered(status=200, again=timedelta(minutes=1))
    assert KIND.send(config, group("alert.firing", at=now), sender) == again
    assert active(alertmanager) == {("load", "page")}
    assert KIND.send(config, group("alert.firing", at=now, **GROUPED), sender) == again
    assert active(alertmanager) == {("load", "page"), ("load", "")}  # `wind` has ended
    ended = KIND.send(config, group("alert.resolved", at=now), sender)
    assert ended == Delivered(status=200)
    assert active(alertmanager) == {("load", "")}
