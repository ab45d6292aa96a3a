from datetime import timedelta

import pytest

from core.errors import Unprocessable
from notify import channel
from notify.channel import Delivered, Retry
from notify.kinds.apprise import KIND
from notify.sender import Sender
from tests.notify.kinds.bodies import CAUSE, group
from tests.notify.receiver import Receiver

# A module of the standard library that Apprise imports before Python 3.13.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def allowing() -> Sender:
    """A sender whose operator allows Apprise to post JSON."""
    timeout = timedelta(seconds=5)
    return Sender(allow=(), timeout=timeout, public_url="https://w", apprise=["json"])


def test_an_alert_is_sent_by_apprise(allowing: Sender, receiver: Receiver) -> None:
    config = KIND.parsed({"url": f"json://127.0.0.1:{receiver.port}/hook"})
    for kind in ("alert.firing", "alert.resolved", "rollout.promoted"):
        assert KIND.send(config, group(kind), allowing) == Delivered()
    contents = [one.content for one in receiver.received]
    assert [(one["title"], one["type"]) for one in contents] == [
        ("[FIRING] load: input_fault", "failure"),
        ("[RESOLVED] load: input_fault", "success"),
        ("load: rollout promoted", "info"),
    ]
    assert contents[0]["message"].startswith(CAUSE)
    assert "Runbook: https://wiki.example/load" in contents[0]["message"]


def test_a_service_that_the_operator_does_not_list_is_not_used(
    sender: Sender, receiver: Receiver
) -> None:
    config = {"url": f"json://127.0.0.1:{receiver.port}/0451"}
    sent = channel.send("apprise", config, group(), sender)
    assert sent == Retry(error="json is not in SEQWATCH_APPRISE_SERVICES")
    assert receiver.received == []


def test_a_failure_is_retried_and_shows_no_secret(
    allowing: Sender, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [500]
    config = {"url": f"json://me:0451@127.0.0.1:{receiver.port}/hook"}
    with caplog.at_level("DEBUG"):
        sent = channel.send("apprise", config, group(), allowing)
    assert sent == Retry(error="json did not take it")
    assert "0451" not in caplog.text


@pytest.mark.parametrize("url", ["", "no url", "a://b c://d", "json://a\nb"])
def test_what_is_no_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        KIND.parsed({"url": url})
    assert str(refused.value) == "apprise: url: must be one URL such as tgram://TOKEN/CHAT"


def test_a_url_of_no_service_is_a_failed_attempt(receiver: Receiver) -> None:
    timeout = timedelta(seconds=5)
    sender = Sender(allow=(), timeout=timeout, public_url="https://w", apprise=["tgram"])
    sent = channel.send("apprise", {"url": "tgram://0451"}, group(), sender)
    assert sent == Retry(error="Apprise cannot read this URL of tgram")
