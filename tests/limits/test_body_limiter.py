"""Room is bounded, shared fairly, and given back."""

import threading
from uuid import UUID, uuid4

import pytest

from core.errors import Busy, TooLarge, TooMany
from core.limits import Limits
from core.settings import Settings
from services.access import rate_limits
from services.access.rate_limits import Allowed, BodyLimiter, allowed

ROOM = 1200


def may(**changes: int) -> Allowed:
    defaults = {"body_bytes": ROOM, "rows": 1000, "rows_per_second": 0, "burst_rows": 0}
    return Allowed(**{**defaults, "waiting_bytes": ROOM, **changes})


def filled(limiter: BodyLimiter, key_id: UUID, n_bytes: int = 10) -> int:
    """Hold room until there is none; how much."""
    total = 0
    while True:
        try:
            limiter.admit(key_id, may()).grow_to(n_bytes)
        except Busy:
            return total
        total += n_bytes


def test_one_key_alone_gets_half_and_more_keys_equal_shares_of_the_rest() -> None:
    limiter = BodyLimiter(ROOM)
    assert [filled(limiter, uuid4()) for _ in range(3)] == [600, 300, 150]
    assert limiter.n_bytes < ROOM


def test_keys_that_come_together_get_equal_shares_and_leave_one_free() -> None:
    limiter, keys = BodyLimiter(ROOM), [uuid4() for _ in range(5)]
    held = dict.fromkeys(keys, 0)
    refused: set[UUID] = set()
    while len(refused) < len(keys):
        for key in keys:
            try:
                limiter.admit(key, may()).grow_to(1)
                held[key] += 1
            except Busy:
                refused.add(key)
    assert set(held.values()) <= {199, 200, 201}  # a sixth each: one for whoever comes next
    limiter.admit(uuid4(), may()).grow_to(90)


def test_a_body_that_grows_takes_only_what_is_new() -> None:
    limiter = BodyLimiter(ROOM)
    reservation = limiter.admit(uuid4(), may())
    for n_bytes in (100, 50, 100, 300):
        reservation.grow_to(n_bytes)
    assert limiter.n_bytes == 300
    reservation.release()
    reservation.release()
    assert limiter.n_bytes == 0


def test_what_was_refused_is_not_held() -> None:
    limiter, key = BodyLimiter(ROOM), uuid4()
    with pytest.raises(Busy):
        limiter.admit(key, may()).grow_to(700)
    with pytest.raises(TooLarge):
        limiter.admit(key, may(body_bytes=10)).grow_to(11)
    assert limiter.n_bytes == 0
    assert filled(limiter, key) == 600


def test_a_key_s_own_share_may_be_smaller() -> None:
    limiter, key = BodyLimiter(ROOM), uuid4()
    limiter.admit(key, may(waiting_bytes=100)).grow_to(60)
    with pytest.raises(Busy, match="this key's requests are waiting"):
        limiter.admit(key, may(waiting_bytes=100)).grow_to(60)


def test_threads_lose_no_byte() -> None:
    limiter = BodyLimiter(10**9)

    def work(key: UUID) -> None:
        for _ in range(2000):
            reservation = limiter.admit(key, may(waiting_bytes=10**9))
            reservation.grow_to(3)
            reservation.grow_to(7)
            reservation.release()

    shared = uuid4()
    threads = [threading.Thread(target=work, args=(shared,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limiter.n_bytes == 0


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def rate(per_second: int) -> Allowed:
    return allowed(Limits(rows_per_second=per_second, burst_rows=per_second), Settings())


def test_who_is_in_debt_is_answered_for_how_long() -> None:
    clock = Clock()
    limiter, key = BodyLimiter(ROOM, clock), uuid4()
    limiter.admit(key, rate(100)).charge(350)  # 100 at once, 250 of debt
    with pytest.raises(TooMany) as refused:
        limiter.admit(key, rate(100))
    assert refused.value.retry_after == pytest.approx(2.5)
    clock.at = 2.5
    limiter.admit(key, rate(100)).charge(1)


def test_a_batch_that_was_let_in_before_the_debt_is_refused_after_it() -> None:
    limiter, key = BodyLimiter(ROOM, Clock()), uuid4()
    early = limiter.admit(key, rate(100))
    limiter.admit(key, rate(100)).charge(101)
    with pytest.raises(TooMany):
        early.charge(1)


def test_a_batch_that_is_decoded_again_is_charged_once() -> None:
    limiter, key = BodyLimiter(ROOM, Clock()), uuid4()
    reservation = limiter.admit(key, rate(100))
    reservation.charge(90)
    reservation.charge(90)
    limiter.admit(key, rate(100)).charge(10)  # balance 0: not yet debt
    limiter.admit(key, rate(100))


def test_a_new_rate_holds_at_once_and_debts_remain() -> None:
    clock = Clock()
    limiter, key = BodyLimiter(ROOM, clock), uuid4()
    limiter.admit(key, rate(100)).charge(200)
    with pytest.raises(TooMany) as refused:
        limiter.admit(key, rate(50))
    assert refused.value.retry_after == pytest.approx(2.0)


def test_keys_do_not_share_a_rate_and_rested_ones_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_limits, "MAX_BUCKETS", 3)
    clock = Clock()
    limiter, debtor = BodyLimiter(ROOM, clock), uuid4()
    limiter.admit(debtor, rate(1)).charge(100)
    for _ in range(20):
        limiter.admit(uuid4(), rate(100)).charge(1)
        clock.at += 1.0
    assert len(limiter._buckets) <= 3
    with pytest.raises(TooMany):
        limiter.admit(debtor, rate(1))
