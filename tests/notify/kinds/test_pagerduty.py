import hashlib
from typing import Any

import pytest

from alerts.message import LONGEST_TEXT
from core.errors import Unprocessable
from notify.channel import Delivered, Reject, Retry
from notify.kinds.pagerduty import KIND, LARGEST, PagerDutyConfig
from notify.sender import Sender
from tests.notify.kinds.bodies import CAUSE, GROUPED, accepted, group
from tests.notify.receiver import Receiver

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def config(receiver: Receiver) -> PagerDutyConfig:
    return PagerDutyConfig(routing_key=KEY, url=f"http://127.0.0.1:{receiver.port}")


def test_an_alert_triggers_and_resolves_one_incident(
    config: PagerDutyConfig, sender: Sender, receiver: Receiver
) -> None:
    for kind in ("alert.firing", "alert.acknowledged", "alert.resolved"):
        assert KIND.send(config, group(kind), sender) == Delivered(status=204)
    assert {one.path for one in receiver.received} == {"/v2/enqueue"}
    events = [accepted("pagerduty-event", one.content) for one in receiver.received]
    assert [one["event_action"] for one in events] == ["trigger", "acknowledge", "resolve"]
    assert len({one["dedup_key"] for one in events}) == 1
    trigger = events[0]
    assert trigger["routing_key"] == KEY
    assert trigger["payload"]["summary"] == f"[FIRING] load: input_fault: {CAUSE}"
    assert trigger["payload"]["severity"] == "critical"
    assert trigger["payload"]["source"] == "load"
    assert trigger["links"][0] == {"href": "https://wiki.example/load", "text": "Runbook"}


def test_the_key_of_a_group_is_the_hash_of_its_group_key(
    config: PagerDutyConfig, sender: Sender, receiver: Receiver
) -> None:
    KIND.send(config, group(**GROUPED), sender)
    [one] = receiver.received
    expected = hashlib.sha256(b'{}:{alertname="input_fault"}').hexdigest()
    assert one.content["dedup_key"] == expected


def test_page_and_ticket_of_one_monitor_are_two_incidents(
    config: PagerDutyConfig, sender: Sender, receiver: Receiver
) -> None:
    KIND.send(config, group(), sender)
    KIND.send(config, group(severity="ticket"), sender)
    page, ticket = (one.content for one in receiver.received)
    assert page["dedup_key"] != ticket["dedup_key"]
    assert ticket["payload"]["severity"] == "warning"


def test_a_rollout_is_a_change_event_which_opens_no_incident(
    config: PagerDutyConfig, sender: Sender, receiver: Receiver
) -> None:
    KIND.send(config, group("rollout.promoted"), sender)
    [one] = receiver.received
    assert one.path == "/v2/change/enqueue"
    assert accepted("pagerduty-change", one.content)["payload"]["source"] == "load"


def test_long_texts_are_cut_and_line_breaks_left_out(
    config: PagerDutyConfig, sender: Sender, receiver: Receiver
) -> None:
    KIND.send(config, group(cause="a\n" * LONGEST_TEXT), sender)
    summary = accepted("pagerduty-event", receiver.received[0].content)["payload"]["summary"]
    assert (len(summary), summary[-1]) == (1024, "…")
    assert "\n" not in summary


def test_an_event_that_is_too_large_is_sent_without_its_details(
    config: PagerDutyConfig, sender: Sender, receiver: Receiver
) -> None:
    one: dict[str, Any] = GROUPED["alerts"][0]
    labels = {**one["labels"], "note": "€" * 150}
    KIND.send(config, group(alerts=[one | {"labels": labels}] * 1200), sender)
    [received] = receiver.received
    assert len(received.body) < LARGEST
    payload = accepted("pagerduty-event", received.content)["payload"]
    assert "left out" in payload["custom_details"]["error"]
    assert payload["summary"].startswith("[FIRING] load")


def test_a_refused_event_is_rejected_and_429_retried_when_it_asks(
    config: PagerDutyConfig, sender: Sender, receiver: Receiver
) -> None:
    receiver.statuses = [400, 429, 500]
    receiver.headers = {"Retry-After": "8"}
    assert KIND.send(config, group(), sender) == Reject(
        error="the receiver answered 400", status=400
    )
    for status in (429, 500):
        sent = KIND.send(config, group(), sender)
        assert isinstance(sent, Retry)
        assert (sent.status, sent.after and sent.after.seconds) == (status, 8)


def test_a_key_that_is_none_is_refused_without_being_shown() -> None:
    with pytest.raises(Unprocessable) as refused:
        KIND.parsed({"routing_key": "se cret"})
    assert "se cret" not in str(refused.value)
