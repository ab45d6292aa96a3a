import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Barrier, Thread

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts.labels import fingerprint
from alerts.state import Flip, Phase, Reason
from db.queries.queue import deliveries
from db.queries.queue.deliveries import Longest
from db.session import read_only, unit_of_work
from db.tables import Alert, AlertGroup, Channel, Delivery, FlipRow, Model, Monitor
from notify.channel import Delivered
from notify.retry import LONGEST
from notify.sender import Sender
from notify.signing import new_secret
from services.alerting import dispatch, incidents
from services.alerting.deliver import deliver_all, record
from tests.notify.receiver import Receiver, running
from tests.streams import CONTRACT

RecordFlip = Callable[[Flip], None]


def add_channel(
    sessions: sessionmaker[Session], name: str, url: str, now: datetime, *severities: str
) -> None:
    with unit_of_work(sessions) as session:
        session.add(
            Channel(
                name=name,
                config={"url": url, "secret": new_secret()},
                severities=[*severities],
                created_at=now,
            )
        )


def watched(session: Session, now: datetime) -> Alert:
    model = Model(
        name="grid", contract=CONTRACT, runbook_url="https://run.book", created_at=now
    )
    session.add(model)
    session.flush()
    monitor = Monitor(
        model_id=model.id, name="input", kind="input_fault", params={}, severity="page"
    )
    session.add(monitor)
    session.flush()
    alert = Alert(monitor_id=monitor.id, model_id=model.id, severity="page", phase=Phase.QUIET)
    session.add(alert)
    session.flush()
    return alert


@pytest.fixture
def record_flip(sessions: sessionmaker[Session], now: datetime) -> RecordFlip:
    """Let the alert of one model flip, each time one hour of event time later."""
    with unit_of_work(sessions) as session:
        alert_id = watched(session, now).id
    at = now

    def flip(which: Flip) -> None:
        nonlocal at
        at += timedelta(hours=1)
        with unit_of_work(sessions) as session:
            row = FlipRow(
                alert_id=alert_id,
                model_id=session.get_one(Alert, alert_id).model_id,
                flip=which,
                reason=Reason.BREACHED if which is Flip.FIRED else Reason.RECOVERED,
                cause="HULL scaled by 1.80",
                at=at,
                recorded_at=now,
            )
            session.add(row)
            session.flush()
            alert = session.get_one(Alert, alert_id)
            if which is Flip.FIRED:
                alert.phase, alert.cause = Phase.FIRING, row.cause
                monitor = session.get_one(Monitor, alert.monitor_id)
                incidents.begin(session, alert, monitor, row, now)
            else:
                incident = incidents.open_of(session, alert_id)
                assert incident is not None
                incidents.end(session, incident, row, now)
            for group_id, number in session.execute(
                select(AlertGroup.id, AlertGroup.flush_no)
            ).all():
                dispatch.flush_group(session, group_id, number, now)

    return flip


def outbox(sessions: sessionmaker[Session]) -> list[Delivery]:
    with read_only(sessions) as session:
        rows = [*session.scalars(select(Delivery).order_by(Delivery.seq))]
        session.expunge_all()
        return rows


def test_a_flip_reaches_each_channel_that_wants_it(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    add_channel(sessions, "on-call", receiver.url + "/a", now, "page")
    add_channel(sessions, "team", receiver.url + "/b", now, "page", "ticket")
    add_channel(sessions, "diary", receiver.url + "/c", now, "ticket")
    record_flip(Flip.FIRED)
    assert deliver_all(sessions, sender, lambda: now) == 2
    assert {one.path for one in receiver.received} == {"/hook/a", "/hook/b"}
    content = receiver.received[0].content
    data = content["data"]
    [alert] = data["alerts"]
    assert (content["type"], content["timestamp"]) == ("alert.firing", "2026-01-08T00:00:00Z")
    assert {name: of for name, of in data.items() if name not in alert} == {
        "group_key": '{}:{alertname="input_fault", model="grid", version=""}',
        "notification_reason": "first",
        "alerts": [alert],
    }
    assert {name: data[name] for name in alert} == alert
    labels = {
        "alertname": "input_fault",
        "model": "grid",
        "monitor": "input",
        "severity": "page",
    }
    assert alert == {
        "status": "firing",
        "incident": alert["incident"],
        "fingerprint": fingerprint(labels),
        "labels": labels,
        "annotations": {"summary": "HULL scaled by 1.80", "runbook_url": "https://run.book"},
        "starts_at": "2026-01-08T00:00:00Z",
        "ends_at": None,
        "model": "grid",
        "monitor": "input",
        "kind": "input_fault",
        "severity": "page",
        "cause": "HULL scaled by 1.80",
        "reason": "breached",
        "version": None,
        "value": None,
        "threshold": None,
        "since": "2026-01-08T01:00:00Z",
        "runbook_url": "https://run.book",
        "finding_url": None,
        "url": "https://watch.example/models/grid",
    }
    assert all(row.delivered and row.finished_at == now for row in outbox(sessions))
    assert deliver_all(sessions, sender, lambda: now) == 0


def test_a_resolution_never_overtakes_its_alert(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    add_channel(sessions, "on-call", receiver.url, now, "page")
    receiver.statuses = [503, 503]
    record_flip(Flip.FIRED)
    record_flip(Flip.RESOLVED)
    assert deliver_all(sessions, sender, lambda: now) == 1
    assert receiver.types == ["alert.firing"]
    later = now + timedelta(seconds=10)
    assert deliver_all(sessions, sender, lambda: later) == 1
    assert receiver.types == ["alert.firing"] * 2
    much_later = now + timedelta(minutes=5)
    assert deliver_all(sessions, sender, lambda: much_later) == 2
    assert receiver.types == ["alert.firing"] * 3 + ["alert.resolved"]
    ids = [one.headers["webhook-id"] for one in receiver.received]
    assert len({*ids[:3]}) == 1
    assert ids[3] != ids[0]


def test_who_heard_it_fire_hears_it_end(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    add_channel(sessions, "on-call", receiver.url + "/a", now, "page")
    record_flip(Flip.FIRED)
    add_channel(sessions, "late", receiver.url + "/b", now, "page")
    with unit_of_work(sessions) as session:
        session.scalars(select(Channel).where(Channel.name == "on-call")).one().severities = []
    record_flip(Flip.RESOLVED)
    deliver_all(sessions, sender, lambda: now)
    assert [one.path for one in receiver.received] == ["/hook/a", "/hook/a"]
    assert receiver.types == ["alert.firing", "alert.resolved"]


def test_one_channel_does_not_wait_for_another(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    add_channel(sessions, "broken", "http://127.0.0.1:1/", now, "page")
    add_channel(sessions, "on-call", receiver.url, now, "page")
    record_flip(Flip.FIRED)
    record_flip(Flip.RESOLVED)
    deliver_all(sessions, sender, lambda: now)
    assert receiver.types == ["alert.firing", "alert.resolved"]
    broken = [row for row in outbox(sessions) if not row.delivered]
    assert [row.attempts for row in broken] == [1, 0]
    assert "ConnectError" in str(broken[0].last_error)


def test_gone_closes_the_channel_and_notifies_the_others(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    with running() as other:
        add_channel(sessions, "on-call", receiver.url, now, "page", "ticket")
        add_channel(sessions, "team", other.url, now, "ticket")
        record_flip(Flip.FIRED)
        record_flip(Flip.RESOLVED)
        receiver.statuses = [410]
        deliver_all(sessions, sender, lambda: now)
        assert receiver.types == ["alert.firing"]
        assert other.types == ["channel.disabled"]
        assert other.received[0].content["data"]["channel"] == "on-call"
    with read_only(sessions) as session:
        enabled = [*session.scalars(select(Channel.name).where(Channel.enabled))]
    assert enabled == ["team"]
    assert all(row.finished_at is not None for row in outbox(sessions))


def test_patience_ends_with_the_reason_kept(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    add_channel(sessions, "on-call", receiver.url, now, "page")
    record_flip(Flip.FIRED)
    receiver.statuses = [500] * 20
    for day in range(20):
        at = now + timedelta(days=2 * day)
        deliver_all(sessions, sender, lambda at=at: at)  # type: ignore[misc]
    [row] = outbox(sessions)
    assert (row.attempts, row.delivered, row.last_status) == (12, False, 500)
    assert row.last_error == "no success in 12 attempts; the receiver answered 500"
    assert len(receiver.received) == 12


def test_a_message_leaves_although_the_clock_was_set_back(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    """New, leased by a worker that died, and after a first failure."""
    for name in ("new", "leased", "failed"):
        add_channel(sessions, name, f"{receiver.url}/{name}", now, "page")
    record_flip(Flip.FIRED)
    with unit_of_work(sessions) as session:
        _, leased, failed = session.scalars(select(Delivery).order_by(Delivery.seq))
        leased.lease_until = now + timedelta(minutes=1)
        failed.attempts, failed.not_before = 1, now + timedelta(seconds=5)
    assert deliver_all(sessions, sender, lambda: now - timedelta(hours=1)) == 3
    assert all(row.delivered for row in outbox(sessions))


def test_a_claim_that_was_lost_writes_nothing(
    sessions: sessionmaker[Session], record_flip: RecordFlip, now: datetime
) -> None:
    add_channel(sessions, "on-call", "https://hooks.example", now, "page")
    record_flip(Flip.FIRED)
    lease = timedelta(minutes=1)
    longest = Longest(lease=lease, delays=LONGEST)
    [row] = outbox(sessions)
    with unit_of_work(sessions) as session:
        first = deliveries.claim(session, row.seq, longest, now)
        again = deliveries.claim(session, row.seq, longest, now)
        second = deliveries.claim(session, row.seq, longest, now + lease)
    assert first is not None
    assert again is None
    assert second is not None
    record(sessions, first, Delivered(status=204), now)
    assert not outbox(sessions)[0].delivered
    record(sessions, second, Delivered(status=204), now)
    assert outbox(sessions)[0].delivered


def test_many_workers_send_each_message_once(
    sessions: sessionmaker[Session],
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    for number in range(20):
        add_channel(sessions, f"channel-{number}", receiver.url, now, "page")
    record_flip(Flip.FIRED)
    barrier = Barrier(4)

    def work() -> None:
        barrier.wait()
        deliver_all(sessions, sender, lambda: now)

    workers = [Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ids = [one.headers["webhook-id"] for one in receiver.received]
    assert (len(ids), len({*ids})) == (20, 20)


DIES_AFTER_SENDING = """
import os, sys, signal
from datetime import datetime, timedelta
from ipaddress import ip_network
from sqlalchemy.orm import sessionmaker
from db.session import connect
from notify.sender import Sender
from services.alerting import dispatch, incidents
from services.alerting.deliver import deliver_all

class Doomed(Sender):
    def post(self, *rest):
        super().post(*rest)
        os.kill(os.getpid(), signal.SIGKILL)

sender = Doomed(
    allow=[ip_network("127.0.0.0/8")], timeout=timedelta(seconds=5), public_url="https://w"
)
now = datetime.fromisoformat(sys.argv[2])
deliver_all(sessionmaker(connect(sys.argv[1])), sender, lambda: now)
"""


def test_who_dies_after_sending_sends_again_under_the_same_id(
    sessions: sessionmaker[Session],
    database_url: str,
    record_flip: RecordFlip,
    sender: Sender,
    receiver: Receiver,
    now: datetime,
) -> None:
    add_channel(sessions, "on-call", receiver.url, now, "page")
    record_flip(Flip.FIRED)
    command = [sys.executable, "-c", DIES_AFTER_SENDING, database_url, now.isoformat()]
    died = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": "."})
    assert died.returncode == -signal.SIGKILL
    assert len(receiver.received) == 1
    assert deliver_all(sessions, sender, lambda: now) == 0  # its lease still holds
    later = now + timedelta(minutes=2)
    assert deliver_all(sessions, sender, lambda: later) == 1
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    assert outbox(sessions)[0].delivered
