import json
from collections.abc import Iterator
from datetime import datetime, timedelta

import httpx
import pytest

from cli.demo.receiver import TOLERANCE, Receiver, is_signed
from core.clock import utcnow
from notify.signing import new_secret, sign

SECRET = new_secret()
BODY = json.dumps({"type": "alert.firing", "data": {"model": "grid"}}).encode()
SECOND = timedelta(seconds=1)


def headers(at: datetime, secret: str = SECRET, message_id: str = "m1") -> dict[str, str]:
    timestamp = int(at.timestamp())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, message_id, timestamp, BODY),
    }


def changed(name: str, value: str | None, now: datetime) -> dict[str, str]:
    given = headers(now)
    del given[name]
    return given if value is None else {**given, name: value}


def test_a_message_of_whoever_knows_the_secret_is_believed(now: datetime) -> None:
    assert is_signed(SECRET, headers(now), BODY, now)
    several = headers(now)
    several["webhook-signature"] = f"v1,b2xk {several['webhook-signature']}"
    assert is_signed(SECRET, several, BODY, now)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("webhook-signature", "v1,AAAA", id="another signature"),
        pytest.param("webhook-signature", "", id="an empty signature"),
        pytest.param("webhook-signature", None, id="no signature"),
        pytest.param("webhook-signature", "v1,ä", id="a signature beyond ASCII"),
        pytest.param("webhook-id", "m2", id="another message's signature"),
        pytest.param("webhook-id", "m.1", id="an id that cannot be signed"),
        pytest.param("webhook-id", None, id="no id"),
        pytest.param("webhook-timestamp", "0", id="another time's signature"),
        pytest.param("webhook-timestamp", "now", id="no time"),
    ],
)
def test_a_forged_message_is_not_believed(name: str, value: str | None, now: datetime) -> None:
    assert not is_signed(SECRET, changed(name, value, now), BODY, now)


def test_a_changed_body_or_another_secret_is_not_believed(now: datetime) -> None:
    assert not is_signed(SECRET, headers(now), BODY + b" ", now)
    assert not is_signed(new_secret(), headers(now), BODY, now)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        pytest.param(TOLERANCE, True, id="just in time"),
        pytest.param(TOLERANCE + SECOND, False, id="recorded and sent again"),
        pytest.param(-TOLERANCE, True, id="a clock that is fast"),
        pytest.param(-TOLERANCE - SECOND, False, id="from the future"),
    ],
)
def test_only_fresh_messages_are_believed(
    age: timedelta, expected: bool, now: datetime
) -> None:
    assert is_signed(SECRET, headers(now - age), BODY, now) is expected


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver(SECRET, 0)
    receiver.start()
    yield receiver
    receiver.stop()


def test_a_message_that_is_sent_again_counts_once(receiver: Receiver) -> None:
    for message_id in ("m1", "m1", "m2"):
        sent = headers(utcnow(), message_id=message_id)
        assert httpx.post(receiver.url, content=BODY, headers=sent).status_code == 204
    assert [(one.id, one.type) for one in receiver.messages] == [
        ("m1", "alert.firing"),
        ("m2", "alert.firing"),
    ]
    assert receiver.messages[0].content == {"model": "grid"}


def test_a_forged_message_is_refused_and_counted(receiver: Receiver) -> None:
    sent = headers(utcnow(), secret=new_secret())
    assert httpx.post(receiver.url, content=BODY, headers=sent).status_code == 401
    assert httpx.post(receiver.url, content=BODY).status_code == 401
    assert (receiver.messages, receiver.n_refused) == ([], 2)
