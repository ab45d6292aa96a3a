import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from alerts.platform import PlatformFault
from db.session import unit_of_work
from db.tables import Delivery, PlatformAlert
from services.platform_faults import platform_alerts
from tests.services.loop import Loop

NOW = datetime(2026, 1, 8, tzinfo=UTC)
KIND, SUBJECT = PlatformFault.STREAM_SET_ASIDE, "load/predictions"


@pytest.fixture
def loop(sessions: sessionmaker[Session]) -> Loop:
    loop = Loop(sessions)
    loop.listen("page")
    return loop


def fire(loop: Loop, cause: str, now: datetime) -> bool:
    with unit_of_work(loop.sessions) as session:
        return platform_alerts.fire(session, KIND, SUBJECT, cause, now)


def resolve(loop: Loop, now: datetime) -> bool:
    with unit_of_work(loop.sessions) as session:
        return platform_alerts.resolve(session, KIND, SUBJECT, now)


def test_an_open_fault_is_one_alert_and_one_notification(loop: Loop) -> None:
    assert [fire(loop, f"cause {n}", NOW + timedelta(hours=n)) for n in range(3)] == [
        True,
        False,
        False,
    ]
    [alert] = loop.all(PlatformAlert)
    assert (alert.cause, alert.since, alert.resolved_at) == ("cause 2", NOW, None)
    [delivery] = loop.all(Delivery)
    content = json.loads(delivery.body)
    assert content["type"] == "platform.firing"
    assert content["data"]["cause"] == "cause 0"
    assert content["data"]["subject"] == SUBJECT


def test_its_end_is_sent_once_to_those_who_were_notified(loop: Loop) -> None:
    fire(loop, "why", NOW)
    loop.listen("page", "ticket")  # a channel that was added meanwhile
    later = NOW + timedelta(hours=1)
    assert [resolve(loop, later), resolve(loop, later)] == [True, False]
    rows = sorted(loop.all(Delivery), key=lambda row: row.seq)
    assert [row.type for row in rows] == ["platform.firing", "platform.resolved"]
    assert len({row.channel_id for row in rows}) == 1
    assert len({row.subject for row in rows}) == 1


def test_a_fault_that_returns_is_a_new_alert(loop: Loop) -> None:
    for _ in range(2):
        assert fire(loop, "why", NOW)
        assert resolve(loop, NOW)
    assert len(loop.all(PlatformAlert)) == 2
    assert len(loop.all(Delivery)) == 4
