"""A receiver that hangs delays nobody but itself."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from ipaddress import ip_network
from threading import Event, Thread
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts.message import Type, compose
from db.queries.queue import deliveries
from db.queries.queue.deliveries import Longest
from db.session import read_only, unit_of_work
from db.tables import Channel, Delivery
from notify.retry import DELAYS, LONGEST
from notify.sender import Answer, Sender
from services.alerting import channels, deliver
from services.alerting.deliver import PER_CHANNEL, deliver_all
from tests.notify.hanging import hanging
from tests.notify.receiver import Receiver
from tests.notify.test_deliver import add_channel, outbox

TIMEOUT = timedelta(seconds=30)
LOOPBACK = ip_network("127.0.0.0/8")
PROMPT = 15.0  # seconds; alone it takes milliseconds, but the machine may be busy

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def sender() -> Sender:
    return Sender(allow=[LOOPBACK], timeout=TIMEOUT, public_url="https://w")


def queue(sessions: sessionmaker[Session], channel: str, n: int, now: datetime) -> None:
    """Queue notifications about different alerts for one channel."""
    with unit_of_work(sessions) as session:
        to = session.scalars(select(Channel).where(Channel.name == channel)).one()
        session.add_all(
            Delivery(
                channel_id=to.id,
                cause_id=uuid4(),
                subject=f"alert:{uuid4()}",
                type=Type.ALERT_FIRING.value,
                body=compose(Type.ALERT_FIRING, now, "/", {"to": channel}),
                created_at=now,
                not_before=now,
            )
            for _ in range(n)
        )


def attempts(sessions: sessionmaker[Session], channel: str) -> int:
    with read_only(sessions) as session:
        id_ = session.scalars(select(Channel.id).where(Channel.name == channel)).one()
    return sum(row.attempts for row in outbox(sessions) if row.channel_id == id_)


@contextmanager
def under_way(
    sessions: sessionmaker[Session], sender: Sender, clock: Callable[[], datetime]
) -> Iterator[Callable[[], int]]:
    """Deliver in another thread; call what is yielded for how many attempts were made."""
    made: list[int] = []
    worker = Thread(target=lambda: made.append(deliver_all(sessions, sender, clock)))
    worker.start()

    def result() -> int:
        worker.join()
        return made[0]

    try:
        yield result
    finally:
        worker.join()


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    begun = time.monotonic()
    while not is_so():
        assert time.monotonic() - begun < seconds, "too late"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(b"", b"", id="accepts and sends nothing"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nX: ", b"x", id="sends one byte of a header at a time"
        ),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", id="100"
        ),
    ],
)
def test_a_hanging_receiver_with_48_notifications_delays_no_other(
    sessions: sessionmaker[Session],
    sender: Sender,
    receiver: Receiver,
    now: datetime,
    first: bytes,
    then: bytes,
) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(hanging(first, then))
        add_channel(sessions, "hangs", url, now, "page")
        add_channel(sessions, "on-call", receiver.url, now, "page")
        queue(sessions, "hangs", 48, now)
        queue(sessions, "on-call", 10, now)
        with under_way(sessions, sender, lambda: now) as result:
            wait_until(lambda: len(receiver.received) == 10, PROMPT)
            # Recorded at once, not when the slowest of a batch has ended.
            wait_until(lambda: sum(r.delivered for r in outbox(sessions)) == 10, PROMPT)
            assert leased(sessions) == PER_CHANNEL, "the hanging attempts are still under way"
            stack.close()
            assert result() == 10 + PER_CHANNEL
    assert attempts(sessions, "hangs") == PER_CHANNEL


def test_groups_are_flushed_while_a_receiver_hangs(
    sessions: sessionmaker[Session], sender: Sender, receiver: Receiver, now: datetime
) -> None:
    turns: list[float] = []

    def flush() -> None:
        turns.append(time.monotonic())
        if len(turns) == 3:  # a group becomes due while the receiver hangs
            queue(sessions, "on-call", 1, now)

    with ExitStack() as stack:
        add_channel(sessions, "hangs", stack.enter_context(hanging()), now, "page")
        add_channel(sessions, "on-call", receiver.url, now, "page")
        queue(sessions, "hangs", 1, now)
        worker = Thread(target=lambda: deliver_all(sessions, sender, lambda: now, flush))
        worker.start()
        wait_until(lambda: sum(row.delivered for row in outbox(sessions)) == 1, PROMPT)
        assert len(receiver.received) == 1
        assert leased(sessions) == 1, "the hanging attempt is still under way"
        stack.close()
        worker.join()


def leased(sessions: sessionmaker[Session]) -> int:
    return sum(row.lease_until is not None for row in outbox(sessions))


def test_what_becomes_due_meanwhile_goes_out_meanwhile(
    sessions: sessionmaker[Session], sender: Sender, receiver: Receiver, now: datetime
) -> None:
    with ExitStack() as stack:
        add_channel(sessions, "hangs", stack.enter_context(hanging()), now, "page")
        add_channel(sessions, "on-call", receiver.url, now, "page")
        queue(sessions, "hangs", 4, now)
        with under_way(sessions, sender, lambda: now):
            wait_until(lambda: attempts(sessions, "hangs") == PER_CHANNEL, PROMPT)
            queue(sessions, "on-call", 1, now)
            wait_until(lambda: sum(r.delivered for r in outbox(sessions)) == 1, PROMPT)
            assert leased(sessions) == PER_CHANNEL, "the hanging attempts are still under way"
            stack.close()


def test_many_hanging_receivers_leave_room_for_another(
    sessions: sessionmaker[Session], sender: Sender, receiver: Receiver, now: datetime
) -> None:
    with ExitStack() as stack:
        for number in range(12):
            add_channel(sessions, f"h{number}", stack.enter_context(hanging()), now, "page")
            queue(sessions, f"h{number}", 5, now)
        add_channel(sessions, "on-call", receiver.url, now, "page")
        queue(sessions, "on-call", 20, now)
        with under_way(sessions, sender, lambda: now):
            wait_until(lambda: len(receiver.received) == 20, PROMPT)
            stack.close()


def test_a_channel_with_a_long_queue_takes_turns(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    for name, n in (("long", 300), ("short", 3), ("one", 1)):
        add_channel(sessions, name, "https://hooks.example", now, "page")
        queue(sessions, name, n, now)
    longest = Longest(lease=TIMEOUT, delays=LONGEST)
    with read_only(sessions) as session:
        found = deliveries.due(session, longest, now, 2)
        names = {row.id: row.name for row in session.scalars(select(Channel))}
        long = next(id_ for id_, name in names.items() if name == "long")
        rest = deliveries.due(session, longest, now, 2, skip=[long])
    turns = sorted((one.place, one.seq, names[one.channel_id]) for one in found)
    assert [name for _, _, name in turns] == ["long", "short", "one", "long", "short"]
    assert {names[one.channel_id] for one in rest} == {"short", "one"}


def test_a_lease_outlasts_an_attempt_that_takes_its_whole_time(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    begun, timeout = time.monotonic(), timedelta(seconds=2)
    sender = Sender(allow=[LOOPBACK], timeout=timeout, public_url="https://w")

    def clock() -> datetime:
        return now + timedelta(seconds=time.monotonic() - begun)

    with hanging() as url:
        add_channel(sessions, "hangs", url, now, "page")
        queue(sessions, "hangs", 1, now)
        with under_way(sessions, sender, clock) as result:
            wait_until(lambda: attempts(sessions, "hangs") == 1, PROMPT)
            until_its_end = clock() + timeout
            assert deliver_all(sessions, sender, lambda: until_its_end) == 0
            assert result() == 1
    [row] = outbox(sessions)
    assert (row.attempts, row.lease_until, row.last_error) == (1, None, "no answer within 2 s")
    assert row.not_before > until_its_end - timeout


class Stuck(Sender):
    """A name lookup that returns when the test lets it, which no time-out bounds."""

    def __init__(self, until: Event) -> None:
        super().__init__(allow=(), timeout=timedelta(seconds=0.1), public_url="https://w")
        self.until = until

    def post(self, url: str, *_: object) -> Answer:
        if "stuck" in url:
            assert self.until.wait(60)
        elif "strange" in url:
            raise ZeroDivisionError("nobody foresaw this")
        return Answer(status=204)


def test_a_call_ends_whatever_an_attempt_does(
    sessions: sessionmaker[Session], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "STARTS_FOR", timedelta(seconds=0.5))
    monkeypatch.setattr(deliver, "NAME_LOOKUP", timedelta(seconds=0.5))
    add_channel(sessions, "stuck", "https://stuck.example", now, "page")
    queue(sessions, "stuck", 1, now)
    until = Event()
    try:
        begun = time.monotonic()
        assert deliver_all(sessions, Stuck(until), lambda: now) == 1
        assert 1 < time.monotonic() - begun < PROMPT
        [row] = outbox(sessions)
        assert not row.delivered
        assert row.lease_until == now + timedelta(seconds=0.6)
    finally:
        until.set()
    assert deliver_all(sessions, Stuck(until), lambda: now + timedelta(seconds=1)) == 1
    assert outbox(sessions)[0].delivered


def test_what_nobody_foresaw_in_one_channel_stops_no_other(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    until = Event()
    until.set()
    for name in ("strange", "fine"):
        add_channel(sessions, name, f"https://{name}.example", now, "page")
        queue(sessions, name, 1, now)
    assert deliver_all(sessions, Stuck(until), lambda: now) == 2
    strange, fine = outbox(sessions)
    assert (strange.delivered, strange.last_error) == (
        False,
        "ZeroDivisionError: nobody foresaw this",
    )
    assert fine.delivered


def test_trying_a_channel_that_hangs_ends_with_its_time(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    sender = Sender(allow=[LOOPBACK], timeout=timedelta(seconds=1), public_url="https://w")
    with hanging() as url:
        add_channel(sessions, "hangs", url, now, "page")
        begun = time.monotonic()
        _, answer = channels.attempt(sessions, sender, "hangs", now)
        assert answer.error == "no answer within 1 s"
        assert time.monotonic() - begun < PROMPT


def after_an_outage(sessions: sessionmaker[Session], n: int, now: datetime) -> None:
    """Queue messages that failed, each once more than the one before, and one that is new."""
    queue(sessions, "on-call", n, now)
    with unit_of_work(sessions) as session:
        for attempts, row in enumerate(session.scalars(select(Delivery)), start=4):
            row.attempts, row.not_before = attempts, now + DELAYS[attempts - 1]
    queue(sessions, "on-call", 1, now)


def test_a_receiver_that_answers_again_gets_all_that_waits(
    sessions: sessionmaker[Session], sender: Sender, receiver: Receiver, now: datetime
) -> None:
    add_channel(sessions, "on-call", receiver.url, now, "page")
    after_an_outage(sessions, 7, now)
    assert deliver_all(sessions, sender, lambda: now) == 8
    assert all(row.delivered for row in outbox(sessions))


def test_each_success_makes_one_message_due_the_one_with_the_fewest_attempts(
    sessions: sessionmaker[Session], sender: Sender, receiver: Receiver, now: datetime
) -> None:
    add_channel(sessions, "on-call", receiver.url, now, "page")
    add_channel(sessions, "other", receiver.url, now, "page")
    after_an_outage(sessions, 7, now)
    queue(sessions, "other", 1, now)
    with unit_of_work(sessions) as session:
        last = [*session.scalars(select(Delivery).order_by(Delivery.seq))][-1]
        last.attempts, last.not_before = 1, now + DELAYS[0]
    receiver.statuses = [204] + [500] * 9
    assert deliver_all(sessions, sender, lambda: now) == 2
    assert [row.attempts for row in outbox(sessions)] == [5, 5, 6, 7, 8, 9, 10, 1, 1]
