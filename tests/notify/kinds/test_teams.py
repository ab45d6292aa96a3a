import pytest

from notify.channel import Delivered
from notify.kinds.teams import KIND, LARGEST, TeamsConfig
from notify.sender import Sender
from tests.notify.kinds.bodies import CAUSE, GROUPED, accepted, group
from tests.notify.receiver import Receiver


@pytest.fixture
def config(receiver: Receiver) -> TeamsConfig:
    return TeamsConfig(url=f"http://127.0.0.1:{receiver.port}/workflows/1/invoke?sig=0451")


def test_an_alert_is_a_card_with_cause_facts_and_links(
    config: TeamsConfig, sender: Sender, receiver: Receiver
) -> None:
    for kind in ("alert.firing", "alert.resolved", "rollout.promoted"):
        assert KIND.send(config, group(kind), sender) == Delivered(status=204)
    contents = [accepted("teams-message", one.content) for one in receiver.received]
    cards = [one["attachments"][0]["content"] for one in contents]
    titles = [card["body"][0]["inlines"][0] for card in cards]
    assert [(one["text"], one["color"]) for one in titles] == [
        ("[FIRING] load: input_fault", "Attention"),
        ("[RESOLVED] load: input_fault", "Good"),
        ("load: rollout promoted", "Accent"),
    ]
    assert cards[0]["body"][1]["inlines"][0]["text"] == CAUSE
    assert cards[0]["actions"][0]["url"] == "https://wiki.example/load"


def test_markdown_of_a_cause_is_text(
    config: TeamsConfig, sender: Sender, receiver: Receiver
) -> None:
    KIND.send(config, group(cause="[the runbook](https://evil.example)"), sender)
    content = accepted("teams-message", receiver.received[0].content)  # text runs alone
    card = content["attachments"][0]["content"]
    assert "evil" not in str(card["actions"])


def test_the_longest_card_is_below_the_limit(
    config: TeamsConfig, sender: Sender, receiver: Receiver
) -> None:
    url, text = "https://w.example/" + "x" * 5000, "\U0001f525" * 5000
    facts = {"version": text, "champion": text, "challenger": text, "monitor": text}
    pages = {"runbook_url": url, "finding_url": "/" + "x" * 5000}
    KIND.send(config, group(**GROUPED | facts | pages | {"cause": text}), sender)
    assert len(receiver.received[0].body) < LARGEST
