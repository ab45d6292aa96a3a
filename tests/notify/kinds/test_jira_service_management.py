import pytest

from alerts.message import LONGEST_TEXT
from core.errors import Unprocessable
from notify.channel import Delivered, Reject
from notify.kinds.jira_service_management import KIND, JiraServiceManagementConfig
from notify.sender import Sender
from tests.notify.kinds.bodies import CAUSE, accepted, group
from tests.notify.receiver import Receiver


@pytest.fixture
def config(receiver: Receiver) -> JiraServiceManagementConfig:
    url = f"http://127.0.0.1:{receiver.port}/jsm/ops/integration"
    return JiraServiceManagementConfig(api_key="0451-key", url=url)


def test_an_alert_is_created_acknowledged_and_closed_by_its_alias(
    config: JiraServiceManagementConfig, sender: Sender, receiver: Receiver
) -> None:
    for kind in ("alert.firing", "alert.acknowledged", "alert.resolved"):
        assert KIND.send(config, group(kind), sender) == Delivered(status=204)
    created, acknowledged, closed = receiver.received
    assert created.headers["authorization"] == "GenieKey 0451-key"
    alert = accepted("jira-service-management-alert", created.content)
    assert (alert["message"], alert["priority"]) == ("[FIRING] load: input_fault", "P1")
    assert alert["description"] == CAUSE
    assert alert["details"]["Runbook"] == "https://wiki.example/load"
    base, alias = "/jsm/ops/integration/v2/alerts", alert["alias"]
    assert [one.path for one in receiver.received] == [
        base,
        f"{base}/{alias}/acknowledge?identifierType=alias",
        f"{base}/{alias}/close?identifierType=alias",
    ]
    for one in (acknowledged, closed):
        accepted("jira-service-management-action", one.content)


@pytest.mark.parametrize(
    ("kind", "severity", "priority"),
    [
        ("alert.firing", "page", "P1"),
        ("alert.firing", "ticket", "P3"),
        ("channel.test", None, "P5"),
    ],
)
def test_the_severity_decides_the_priority(
    config: JiraServiceManagementConfig,
    sender: Sender,
    receiver: Receiver,
    kind: str,
    severity: str | None,
    priority: str,
) -> None:
    KIND.send(config, group(kind, severity=severity), sender)
    assert receiver.received[0].content["priority"] == priority


def test_long_texts_are_cut(
    config: JiraServiceManagementConfig, sender: Sender, receiver: Receiver
) -> None:
    KIND.send(config, group(monitor="m" * 500, cause="c" * LONGEST_TEXT), sender)
    accepted("jira-service-management-alert", receiver.received[0].content)


def test_an_alert_that_it_refuses_is_rejected(
    config: JiraServiceManagementConfig, sender: Sender, receiver: Receiver
) -> None:
    receiver.statuses = [422]
    assert isinstance(KIND.send(config, group(), sender), Reject)


def test_a_key_that_could_add_a_header_is_refused_without_being_shown() -> None:
    with pytest.raises(Unprocessable) as refused:
        KIND.parsed({"api_key": "0451\r\nX: y"})
    assert "0451" not in str(refused.value)
