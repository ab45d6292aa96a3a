from datetime import timedelta

import pytest

from core.errors import Unprocessable
from notify.channel import Delivered, Reject, Retry
from notify.kinds.alertmanager import KIND, AlertmanagerConfig
from notify.sender import Sender
from tests.notify.kinds.bodies import AT, CAUSE, GROUPED, accepted, group
from tests.notify.receiver import Receiver

MINUTE = timedelta(minutes=1)


@pytest.fixture
def config(receiver: Receiver) -> AlertmanagerConfig:
    return AlertmanagerConfig(url=f"http://127.0.0.1:{receiver.port}/am/", token="t0ken")


def test_a_firing_alert_ends_after_four_repetitions_that_did_not_come(
    config: AlertmanagerConfig, sender: Sender, receiver: Receiver
) -> None:
    for minute in range(2):
        sent = KIND.send(config, group(at=AT + minute * MINUTE), sender)
        assert sent == Delivered(status=204, again=MINUTE)
    first, second = receiver.received
    assert first.path == "/am/api/v2/alerts"
    assert first.headers["authorization"] == "Bearer t0ken"
    [alert] = accepted("alertmanager-alerts", first.content)
    assert alert["labels"] == {
        "alertname": "input_fault",
        "model": "load",
        "severity": "page",
    }
    assert alert["annotations"]["description"] == CAUSE
    assert alert["startsAt"] == "2026-01-08T00:00:00Z"
    assert alert["endsAt"] == "2026-01-08T06:04:04Z"
    assert alert["generatorURL"].startswith("https://watch.example/findings/")
    [again] = second.content
    assert again == alert | {"endsAt": "2026-01-08T06:05:04Z"}


def test_a_resolved_alert_has_ended_and_is_not_repeated(
    config: AlertmanagerConfig, sender: Sender, receiver: Receiver
) -> None:
    KIND.send(config, group(), sender)
    assert KIND.send(config, group("alert.resolved"), sender) == Delivered(status=204)
    fired, resolved = (one.content[0] for one in receiver.received)
    assert resolved["labels"] == fired["labels"]  # the same alert to Alertmanager
    assert resolved["endsAt"] == "2026-01-08T06:00:04Z"


def test_an_alert_that_fires_in_the_future_of_the_wall_clock_starts_before_it_ends(
    config: AlertmanagerConfig, sender: Sender, receiver: Receiver
) -> None:
    KIND.send(config, group("alert.resolved", since="2026-01-09T00:00:00Z"), sender)
    [alert] = receiver.received[0].content
    assert alert["startsAt"] == alert["endsAt"]


def test_the_alerts_of_a_group_are_sent_one_by_one(
    config: AlertmanagerConfig, sender: Sender, receiver: Receiver
) -> None:
    KIND.send(config, group(**GROUPED), sender)
    load, wind = accepted("alertmanager-alerts", receiver.received[0].content)
    assert load["labels"] == {"alertname": "input_fault", "model": "load"}
    assert [load["endsAt"], wind["endsAt"]] == ["2026-01-08T06:04:04Z", "2026-01-08T05:00:00Z"]


def test_an_event_ends_by_itself(
    config: AlertmanagerConfig, sender: Sender, receiver: Receiver
) -> None:
    assert KIND.send(config, group("rollout.promoted"), sender) == Delivered(status=204)
    [alert] = accepted("alertmanager-alerts", receiver.received[0].content)
    assert alert["labels"]["alertname"] == "rollout.promoted"


def test_an_acknowledgement_is_not_sent_as_it_has_no_such_state(
    config: AlertmanagerConfig, sender: Sender, receiver: Receiver
) -> None:
    assert KIND.send(config, group("alert.acknowledged"), sender) == Delivered()
    assert receiver.received == []


def test_what_it_refuses_for_good_is_rejected_and_an_outage_retried(
    config: AlertmanagerConfig, sender: Sender, receiver: Receiver
) -> None:
    receiver.statuses = [400, 503]
    assert isinstance(KIND.send(config, group(), sender), Reject)
    assert isinstance(KIND.send(config, group(), sender), Retry)


@pytest.mark.parametrize("every", ["PT5S", "PT2H", "soon"])
def test_an_interval_that_is_too_short_or_long_is_refused(every: str) -> None:
    with pytest.raises(Unprocessable, match="alertmanager: "):
        KIND.parsed({"url": "https://am.example", "resend_every": every})
