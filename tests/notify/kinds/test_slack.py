import pytest

from notify.channel import Delivered, Disable
from notify.kinds.slack import KIND, SlackConfig
from notify.sender import Sender
from tests.notify.kinds.bodies import CAUSE, GROUPED, accepted, group
from tests.notify.receiver import Receiver


@pytest.fixture
def config(receiver: Receiver) -> SlackConfig:
    return SlackConfig(url=f"http://127.0.0.1:{receiver.port}/services/T0/B0/0451")


def test_an_alert_is_a_red_message_and_its_end_a_green_one(
    config: SlackConfig, sender: Sender, receiver: Receiver
) -> None:
    for kind in ("alert.firing", "alert.resolved", "rollout.promoted"):
        assert KIND.send(config, group(kind), sender) == Delivered(status=204)
    contents = [accepted("slack-message", one.content) for one in receiver.received]
    assert [one["text"] for one in contents] == [
        "[FIRING] load: input_fault",
        "[RESOLVED] load: input_fault",
        "load: rollout promoted",
    ]
    assert [one["attachments"][0]["color"] for one in contents] == ["danger", "good", "#4a6785"]
    text = contents[0]["attachments"][0]["text"]
    assert text.startswith(CAUSE)
    assert "<https://wiki.example/load|Runbook>" in text


def test_a_cause_mentions_nobody_and_links_nowhere(
    config: SlackConfig, sender: Sender, receiver: Receiver
) -> None:
    hostile = "<!channel> <https://evil.example|the runbook>"
    KIND.send(config, group(cause=hostile, version="<@U1>"), sender)
    [attachment] = receiver.received[0].content["attachments"]
    assert "<!" not in attachment["text"]
    assert "<https://evil" not in attachment["text"]
    assert "<@" not in str(attachment["fields"])


def test_a_group_lists_its_alerts(
    config: SlackConfig, sender: Sender, receiver: Receiver
) -> None:
    KIND.send(config, group(**GROUPED), sender)
    content = receiver.received[0].content
    assert content["text"] == "[FIRING] load: input_fault (2 alerts)"
    assert "- resolved: input_fault (empty=, model=wind)" in content["attachments"][0]["text"]


def test_an_archived_channel_disables_this_one(
    config: SlackConfig, sender: Sender, receiver: Receiver
) -> None:
    receiver.statuses = [410]
    assert isinstance(KIND.send(config, group(), sender), Disable)
