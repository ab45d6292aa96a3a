"""Delivery of due notifications, with retries.

Channels are independent: each has a few attempts under way at most, and each
result is recorded as soon as it is known.
"""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, assert_never
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from alerts.message import absolute
from db.queries.queue import deliveries, leases, repeated
from db.queries.queue.deliveries import Claim, Longest
from db.session import read_only, unit_of_work
from notify.channel import Delivered, Disable, Group, Reject, Retry, Sent
from notify.retry import LONGEST, GiveUp, RetryAt, after_failure
from notify.sender import Sender
from services.alerting import credentials

PER_CHANNEL = 2  # attempts under way of one channel
N_AT_ONCE = 32  # of all: sixteen receivers may hang before any other channel waits for a slot
MOST_PER_CALL = 400  # attempts
STARTS_FOR = timedelta(seconds=20)  # a call starts no attempt after that
POLL_EVERY = timedelta(seconds=0.5)  # for what has become due, while attempts are under way
NAME_LOOKUP = timedelta(seconds=45)  # beside the sender's own time-out


@dataclass(slots=True)
class _Call:
    """What one call has under way.

    Attributes
    ----------
    longest
        How long a claim is ours, longer than any attempt, and the delays of retries.
    under_way
        The attempts, each with its claim.
    silent
        Channels whose receiver did not answer in this call. They get no further
        attempt in it: the next call tries again.
    n_attempts
        Started so far.
    """

    longest: Longest
    under_way: dict[Future[Sent], Claim] = field(default_factory=dict)
    silent: set[UUID] = field(default_factory=set)
    n_attempts: int = 0


def deliver_all(
    sessions: sessionmaker[Session],
    sender: Sender,
    clock: Callable[[], datetime],
    queue: Callable[[], object] = lambda: None,
) -> int:
    """Send every notification that is due; return how many attempts were made.

    A notification is sent at least once: a worker that dies between sending it and
    recording that sends it again, under the same id. No transaction is open
    meanwhile.

    A call starts attempts for at most `STARTS_FOR` and ends, however receivers
    behave, within the length of one lease (the sender's time-out and
    `NAME_LOOKUP`) after that. An attempt that is still under way then is left
    behind; its lease has ended, and the delivery is due again.

    `queue` is called at each turn: groups of alerts that become due while attempts are
    under way are not kept waiting by a receiver that hangs.
    """
    call = _Call(longest=Longest(lease=sender.timeout + NAME_LOOKUP, delays=LONGEST))
    starts_until = time.monotonic() + STARTS_FOR.total_seconds()
    ends_at = starts_until + call.longest.lease.total_seconds()
    pool = ThreadPoolExecutor(N_AT_ONCE, thread_name_prefix="deliver")
    try:
        while time.monotonic() < ends_at:
            if time.monotonic() < starts_until and call.n_attempts < MOST_PER_CALL:
                queue()
                _start(sessions, sender, clock, call, pool)
            if not call.under_way:
                break
            done, _ = wait(call.under_way, POLL_EVERY.total_seconds(), FIRST_COMPLETED)
            for attempt in done:
                _finish(sessions, call, attempt, clock())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return call.n_attempts


def _start(
    sessions: sessionmaker[Session],
    sender: Sender,
    clock: Callable[[], datetime],
    call: _Call,
    pool: ThreadPoolExecutor,
) -> None:
    free = min(N_AT_ONCE - len(call.under_way), MOST_PER_CALL - call.n_attempts)
    for claim in _claim(sessions, call, free, clock()):
        attempt = pool.submit(_send, sender, claim, clock())
        call.under_way[attempt] = claim
        call.n_attempts += 1


def _finish(
    sessions: sessionmaker[Session], call: _Call, attempt: Future[Sent], now: datetime
) -> None:
    claim, sent = call.under_way.pop(attempt), attempt.result()
    if isinstance(sent, Retry) and sent.status is None:
        call.silent.add(claim.channel_id)
    record(sessions, claim, sent, now)


def _claim(
    sessions: sessionmaker[Session], call: _Call, free: int, now: datetime
) -> list[Claim]:
    busy = Counter(claim.channel_id for claim in call.under_way.values())
    with read_only(sessions) as session:
        waiting = deliveries.due(session, call.longest, now, PER_CHANNEL, skip=call.silent)
    # The channel with the fewest attempts under way is next; of those, the oldest delivery.
    turns = [
        (busy[one.channel_id] + one.place, one.seq)
        for one in waiting
        if busy[one.channel_id] + one.place <= PER_CHANNEL
    ]
    if not turns or free <= 0:  # the typical case: no writer is disturbed
        return []
    with unit_of_work(sessions) as session:
        taken = [
            deliveries.claim(session, seq, call.longest, now) for _, seq in sorted(turns)[:free]
        ]
    return [claim for claim in taken if claim is not None]


def _send(sender: Sender, claim: Claim, at: datetime) -> Sent:
    body = absolute(claim.body, sender.public_url)
    group = Group(id=str(claim.message_id), at=at, bodies=(body,))
    return credentials.send(claim.kind, claim.config, group, sender)


def record(sessions: sessionmaker[Session], claim: Claim, sent: Sent, now: datetime) -> None:
    """Store the result of an attempt, unless the claim has passed to another worker.

    Each success makes one delivery due that waits after a failure: a receiver that
    answers again gets all of them within seconds, one that answers now and then
    uses up no more attempts than it answers. A delivery that is to be repeated stays
    open until a newer one about its subject is finished.
    """
    values: dict[str, Any] = {"last_status": sent.status, "last_error": sent.error}
    match sent:
        case Delivered(again=None):
            values |= {"delivered": True, "finished_at": now}
        case Delivered():
            values |= {"delivered": True, "attempts": 0}
            values["not_before"] = now + min(sent.again or repeated.LONGEST, repeated.LONGEST)
        case Reject() | Disable():
            values["finished_at"] = now
        case Retry(error=error, after=after):
            match after_failure(claim.attempts, now, after, leases.jitter()):
                case RetryAt(not_before):
                    values["not_before"] = not_before
                case GiveUp(reason):
                    values |= {"finished_at": now, "last_error": f"{reason}; {error}"}
        case _:
            assert_never(sent)
    with unit_of_work(sessions) as session:
        is_ours = deliveries.settle(session, claim, values)
        if is_ours and "finished_at" in values:
            repeated.end_before(session, claim.seq, now)
        if is_ours and isinstance(sent, Delivered):
            deliveries.bring_forward(session, claim.channel_id, now)
        if is_ours and isinstance(sent, Disable):
            deliveries.disable(session, claim.channel_id, claim.message_id, sent.error, now)
