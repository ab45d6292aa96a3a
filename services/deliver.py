"""Send what is due, and write down what came of it."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, assert_never

from sqlalchemy.orm import Session, sessionmaker

from db.queries import deliveries
from db.queries.deliveries import Claim
from db.session import read_only, unit_of_work
from notify.retry import Disable, GiveUp, Retry, after_failure
from notify.webhook import Answer, Sender

N_AT_ONCE = 8  # receivers that may be slow at the same time without holding up the others
MOST_PER_CALL = 400  # then other jobs have their turn
NAME_LOOKUP = timedelta(seconds=45)  # beside the sender's own time-out


def deliver_all(
    sessions: sessionmaker[Session], sender: Sender, clock: Callable[[], datetime]
) -> int:
    """Send every message that is due; return how many attempts were made.

    A message is sent at least once: whoever dies between sending it and
    writing that down sends it again, under the same id. No transaction is
    open meanwhile.
    """
    n_attempts = 0
    with ThreadPoolExecutor(N_AT_ONCE, thread_name_prefix="deliver") as pool:
        while n_attempts < MOST_PER_CALL:
            claims = _claim(sessions, sender.timeout + NAME_LOOKUP, clock())
            if not claims:
                break
            for claim, answer in zip(
                claims, pool.map(lambda one: _send(sender, one, clock()), claims), strict=True
            ):
                record(sessions, claim, answer, clock())
            n_attempts += len(claims)
    return n_attempts


def _claim(sessions: sessionmaker[Session], lease: timedelta, now: datetime) -> list[Claim]:
    with read_only(sessions) as session:
        waiting = deliveries.due(session, now, N_AT_ONCE)
    if not waiting:  # the usual case: no writer is disturbed
        return []
    with unit_of_work(sessions) as session:
        taken = [deliveries.claim(session, seq, lease, now) for seq in waiting]
    return [claim for claim in taken if claim is not None]


def _send(sender: Sender, claim: Claim, at: datetime) -> Answer:
    return sender.send(claim.url, claim.secret, str(claim.message_id), claim.body, at)


def record(
    sessions: sessionmaker[Session], claim: Claim, answer: Answer, now: datetime
) -> None:
    """Write down what came of an attempt, unless the claim has passed to another worker."""
    values: dict[str, Any] = {"last_status": answer.status, "last_error": answer.error}
    if answer.error is None:
        next_step = None
        values |= {"delivered": True, "finished_at": now}
    else:
        jitter = random.uniform(-1.0, 1.0)  # noqa: S311 - spreads load, keeps no secret
        next_step = after_failure(
            answer.status, claim.attempts, now, answer.retry_after, jitter
        )
        match next_step:
            case Retry(not_before):
                values["not_before"] = not_before
            case GiveUp(reason) | Disable(reason):
                values |= {"finished_at": now, "last_error": f"{reason}; {answer.error}"}
            case _:
                assert_never(next_step)
    with unit_of_work(sessions) as session:
        is_ours = deliveries.settle(session, claim, values)
        if is_ours and isinstance(next_step, Disable):
            deliveries.disable(
                session, claim.channel_id, claim.message_id, next_step.reason, now
            )
