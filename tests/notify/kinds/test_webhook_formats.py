import json
from datetime import timedelta

import pytest

from core.errors import Unprocessable
from notify.channel import Delivered
from notify.kinds.webhook import KIND
from notify.sender import Sender
from notify.signing import new_secret, sign
from tests.notify.kinds.bodies import AT, accepted, group
from tests.notify.receiver import Receiver


def test_while_keys_are_changed_both_sign(sender: Sender, receiver: Receiver) -> None:
    new, old = new_secret(), new_secret()
    before = KIND.stored({"url": receiver.url, "secret": old})
    during = KIND.stored({"url": receiver.url, "secret": new, "previous_secret": old}, before)
    after = KIND.stored({"url": receiver.url, "previous_secret": ""}, during)
    for config in (before, during, after):
        assert KIND.send(KIND.parsed(config), group(), sender) == Delivered(status=204)
    of = [one.headers["webhook-signature"].split() for one in receiver.received]
    body, timestamp = receiver.received[0].body, int(AT.timestamp())
    by_new, by_old = (sign(key, "0e9c1b4e", timestamp, body) for key in (new, old))
    assert of == [[by_old], [by_new, by_old], [by_new]]


def test_a_previous_secret_that_is_none_is_refused() -> None:
    with pytest.raises(Unprocessable, match="must begin with whsec_"):
        KIND.parsed({"url": "https://hooks.example/x", "previous_secret": "hunter2"})


@pytest.mark.parametrize("kind", ["alert.firing", "alert.resolved", "rollout.promoted"])
def test_a_notification_is_an_event_of_cloudevents(
    sender: Sender, receiver: Receiver, kind: str
) -> None:
    config = KIND.parsed({"url": receiver.url, "format": "cloudevents"})
    for minute in range(2):
        KIND.send(config, group(kind, at=AT + timedelta(minutes=minute)), sender)
    first, second = receiver.received
    assert first.headers["content-type"] == "application/cloudevents+json"
    assert second.body == first.body  # id and time are of the event, not of the attempt
    event = accepted("cloudevent", first.content)
    assert (event["id"], event["type"]) == ("0e9c1b4e", f"seqwatch.{kind}")
    assert (event["source"], event["subject"]) == ("https://watch.example/", "load")
    assert event["data"] == json.loads(group(kind).bodies[0])["data"]
    assert event["data"]["cause"]
    timestamp = int(AT.timestamp())
    signature = sign(config.secret, "0e9c1b4e", timestamp, first.body)
    assert first.headers["webhook-signature"] == signature


def test_another_format_is_refused() -> None:
    with pytest.raises(Unprocessable, match="webhook: Invalid enum value"):
        KIND.parsed({"url": "https://hooks.example/x", "format": "xml"})
