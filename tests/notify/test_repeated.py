"""A firing alert is sent to Alertmanager again and again, until it is resolved."""

import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Flip
from db.queries.queue import deliveries
from db.queries.queue.deliveries import Longest
from db.session import unit_of_work
from db.tables import Channel, Delivery
from notify.channel import Delivered
from notify.retry import LONGEST
from notify.sender import Sender
from services.alerting.deliver import deliver_all, record
from services.read_models.overview.alerts import state_of
from tests.notify.receiver import Receiver
from tests.notify.test_deliver import RecordFlip, outbox, record_flip

__all__ = ["record_flip"]  # a fixture

MINUTE = timedelta(minutes=1)


def add_alertmanager(sessions: sessionmaker[Session], port: int, now: datetime) -> None:
    with unit_of_work(sessions) as session:
        session.add(
            Channel(
                name="alertmanager",
                kind="alertmanager",
                config={"url": f"http://127.0.0.1:{port}"},
                severities=["page"],
                created_at=now,
            )
        )


def ends(receiver: Receiver) -> list[str]:
    return [one.content[0]["endsAt"][11:19] for one in receiver.received]


def test_a_firing_alert_is_repeated_each_minute_until_it_is_resolved(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    add_alertmanager(sessions, receiver.port, now)
    record_flip(Flip.FIRED)
    for seconds, attempts in ((0, 1), (30, 0), (60, 1), (119, 0), (120, 1)):
        at = now + timedelta(seconds=seconds)
        assert deliver_all(sessions, sender, lambda at=at: at) == attempts  # type: ignore[misc]
    assert ends(receiver) == ["00:04:00", "00:05:00", "00:06:00"]
    assert [state_of(row).value for row in outbox(sessions)] == ["delivered"]
    record_flip(Flip.RESOLVED)
    assert deliver_all(sessions, sender, lambda: now + 3 * MINUTE) == 1
    assert ends(receiver)[3] == "00:00:00"
    assert all(row.delivered and row.finished_at for row in outbox(sessions))
    assert deliver_all(sessions, sender, lambda: now + 10 * MINUTE) == 0


def test_a_resolution_waits_for_a_repetition_that_is_under_way(
    sessions: sessionmaker[Session], record_flip: RecordFlip, sender: Sender, now: datetime
) -> None:
    """Else the repetition could arrive after it and open the alert again."""
    add_alertmanager(sessions, 1, now)
    record_flip(Flip.FIRED)
    longest = Longest(lease=MINUTE, delays=LONGEST)
    [first] = outbox(sessions)

    def claimed(seq: int, at: datetime) -> deliveries.Claim | None:
        with unit_of_work(sessions) as session:
            return deliveries.claim(session, seq, longest, at)

    fired = claimed(first.seq, now)
    assert fired is not None
    record(sessions, fired, Delivered(status=200, again=MINUTE), now)
    again = claimed(first.seq, now + MINUTE)
    assert again is not None
    record_flip(Flip.RESOLVED)
    resolution = outbox(sessions)[1].seq
    assert claimed(resolution, now + MINUTE) is None
    record(sessions, again, Delivered(status=200, again=MINUTE), now + MINUTE)
    ending = claimed(resolution, now + MINUTE)
    assert ending is not None
    assert claimed(first.seq, now + 5 * MINUTE) is None, "what is resolved is not repeated"
    record(sessions, ending, Delivered(status=200), now + MINUTE)
    assert [row.finished_at for row in outbox(sessions)] == [now + MINUTE] * 2


def test_a_worker_that_dies_in_a_repetition_holds_no_resolution_back(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    add_alertmanager(sessions, receiver.port, now)
    record_flip(Flip.FIRED)
    assert deliver_all(sessions, sender, lambda: now) == 1
    record_flip(Flip.RESOLVED)
    with unit_of_work(sessions) as session:
        row = session.get_one(Delivery, outbox(sessions)[0].seq)
        row.lease_until, row.attempts = now + MINUTE, 1
    assert deliver_all(sessions, sender, lambda: now + MINUTE / 2) == 0
    assert deliver_all(sessions, sender, lambda: now + MINUTE) == 1
    assert all(row.finished_at for row in outbox(sessions))


def test_a_clock_that_was_set_back_does_not_end_the_repetitions(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    add_alertmanager(sessions, receiver.port, now)
    record_flip(Flip.FIRED)
    assert deliver_all(sessions, sender, lambda: now) == 1
    assert deliver_all(sessions, sender, lambda: now - timedelta(hours=3)) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_outage_of_the_receiver_does_not_end_the_repetitions(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    add_alertmanager(sessions, receiver.port, now)
    record_flip(Flip.FIRED)
    receiver.statuses = [200, 503, 503, 200]
    for seconds in (0, 60, 70, 120, 180):
        at = now + timedelta(seconds=seconds)
        assert deliver_all(sessions, sender, lambda at=at: at) == 1  # type: ignore[misc]
    [row] = outbox(sessions)
    assert (row.attempts, row.last_status, row.finished_at) == (0, 204, None)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_a_receiver_rejects_is_given_up_and_the_next_is_sent(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    add_alertmanager(sessions, receiver.port, now)
    record_flip(Flip.FIRED)
    record_flip(Flip.RESOLVED)
    receiver.statuses = [400]
    assert deliver_all(sessions, sender, lambda: now) == 2
    fired, resolved = outbox(sessions)
    assert (fired.delivered, fired.finished_at, fired.last_status) == (False, now, 400)
    assert state_of(fired).value == "given up"
    assert resolved.delivered


DIES_IN_A_REPETITION = """
import os, sys, signal
from datetime import datetime, timedelta
from ipaddress import ip_network
from sqlalchemy.orm import sessionmaker
from db.session import connect
from notify.sender import Sender
from services.alerting import deliver

deliver.record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
sender = Sender(allow=[ip_network("127.0.0.0/8")], timeout=timedelta(seconds=5), public_url="")
now = datetime.fromisoformat(sys.argv[2])
deliver.deliver_all(sessionmaker(connect(sys.argv[1])), sender, lambda: now)
"""


def test_kill_9_between_a_repetition_and_its_record_sends_it_again_and_resolves_once(
    sessions: sessionmaker[Session],
    database_url: str,
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    add_alertmanager(sessions, receiver.port, now)
    record_flip(Flip.FIRED)
    assert deliver_all(sessions, sender, lambda: now) == 1
    at = now + MINUTE
    killed = subprocess.run(
        [sys.executable, "-c", DIES_IN_A_REPETITION, database_url, at.isoformat()],
        env={**os.environ, "PYTHONPATH": "."},
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(receiver.received) == 2
    record_flip(Flip.RESOLVED)
    assert deliver_all(sessions, sender, lambda: at) == 0, "the repetition may be under way"
    assert deliver_all(sessions, sender, lambda: at + 2 * MINUTE) == 1
    assert ends(receiver)[-1] == "00:00:00"
    assert all(row.finished_at for row in outbox(sessions))
