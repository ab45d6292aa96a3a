"""Limits that hold before memory grows: room for bodies, and a rate of rows, for each key.

All of this is about one process. With n replicas a key has n times its rate
and its room: the replicas share nothing but the database, and to ask that
for each request would cost more than the request.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar
from uuid import UUID

from core.errors import Busy, TooLarge, TooMany
from core.limits import BURST_SECONDS, MOST, Bucket, Limits
from core.settings import Settings

K = TypeVar("K")

MAX_BUCKETS = 10_000  # keys whose balance is remembered; a full bucket need not be


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What a key may send, with what the installation says filled in; no rate is 0."""

    body_bytes: int
    rows: int
    rows_per_second: float
    burst_rows: float
    waiting_bytes: int


def allowed(limits: Limits, settings: Settings) -> Allowed:
    """Fill in what a key's limits leave open; none is wider than the installation's."""
    rate = limits.rows_per_second or settings.max_rows_per_second
    waiting = min(limits.waiting_bytes or MOST, settings.max_waiting_bytes)
    return Allowed(
        # What never has room is refused for good, not for now.
        body_bytes=min(limits.body_bytes or MOST, settings.max_body_bytes, waiting),
        rows=min(limits.rows or MOST, settings.max_rows),
        rows_per_second=rate,
        burst_rows=limits.burst_rows or BURST_SECONDS * rate,
        waiting_bytes=waiting,
    )


class Ticket:
    """The room of one request, from before its body is read until it is answered.

    Not to be shared by threads that use it at the same time.
    """

    __slots__ = ("_hall", "_is_charged", "_n_bytes", "allowed", "key_id")

    def __init__(self, hall: "Hall", key_id: UUID, allowed: Allowed) -> None:
        self._hall = hall
        self._n_bytes = 0
        self._is_charged = False
        self.key_id = key_id
        self.allowed = allowed

    def need(self, n_bytes: int) -> None:
        """Have room for a body of this size, before it is in memory.

        Call it with the declared size, then, as the body grows, with what has
        come: only what goes beyond what was held before counts.

        Raises
        ------
        TooLarge
            If the key may not send so much at once.
        Busy
            If there is no room now, or the key has filled its share of it.
        """
        if n_bytes > self._n_bytes:
            if n_bytes > self.allowed.body_bytes:
                raise TooLarge(f"a body may have {self.allowed.body_bytes} bytes")
            self._hall.take(self.key_id, n_bytes - self._n_bytes, self.allowed.waiting_bytes)
            self._n_bytes = n_bytes

    def release(self) -> None:
        """Give the room back; once is enough, twice does no harm."""
        if self._n_bytes:
            self._hall.give_back(self.key_id, self._n_bytes)
            self._n_bytes = 0

    def charge(self, n_rows: int) -> None:
        """Count the rows of a decoded batch; once, however often it is decoded.

        Raises
        ------
        TooLarge
            If the key may not send so many at once.
        TooMany
            If the key is in debt from batches before; nothing is counted then.
        """
        if n_rows > self.allowed.rows:
            raise TooLarge(f"more than {self.allowed.rows} rows in one batch")
        if not self._is_charged:
            self._hall.charge(self.key_id, self.allowed, n_rows)
            self._is_charged = True

    def counts_rows(self, max_rows: int) -> bool:
        """Say whether the key may send fewer rows than anybody may."""
        return bool(self.allowed.rows_per_second) or self.allowed.rows < max_rows


class Hall:
    """Where requests wait: bounded in bytes, and shared fairly among keys.

    A key may hold as much as is still free. So one alone fills half of the
    room, two a third each, and n leave 1/(n + 1) free for whoever comes next:
    nobody is locked out by somebody else's queue [1]_.

    Parameters
    ----------
    max_bytes
        Of all requests together.
    clock
        Seconds; goes forward only.

    References
    ----------
    .. [1] A. K. Choudhury and E. L. Hahne, "Dynamic queue length thresholds for
       shared-memory packet switches", IEEE/ACM Transactions on Networking 6(2),
       1998, pp. 130-140.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = Lock()
        self._n_bytes = 0
        self._held: Counter[UUID] = Counter()
        self._buckets: dict[UUID, Bucket] = {}

    @property
    def n_bytes(self) -> int:
        """How much is held now."""
        return self._n_bytes

    def enter(self, key_id: UUID, allowed: Allowed) -> Ticket:
        """Let a request in that has not been read yet.

        Raises
        ------
        TooMany
            If the key has sent more rows than its rate allows.
        """
        if allowed.rows_per_second and key_id in self._buckets:
            with self._lock:
                _refuse_debt(self._bucket(key_id, allowed))
        return Ticket(self, key_id, allowed)

    def take(self, key_id: UUID, n_bytes: int, most: int) -> None:
        """Hold room for a key, or raise Busy."""
        with self._lock:
            held = self._held.get(key_id, 0) + n_bytes
            free = self._max_bytes - self._n_bytes - n_bytes
            if held > min(free, most):
                whose = "this key's" if held > n_bytes else "other"
                raise Busy(f"no room for {n_bytes} more bytes: {whose} requests are waiting")
            self._held[key_id] = held
            self._n_bytes += n_bytes

    def give_back(self, key_id: UUID, n_bytes: int) -> None:
        """Give room back."""
        with self._lock:
            self._n_bytes -= n_bytes
            self._held[key_id] -= n_bytes
            if not self._held[key_id]:
                del self._held[key_id]

    def charge(self, key_id: UUID, allowed: Allowed, n_rows: int) -> None:
        """Count rows against a key's rate, or raise TooMany."""
        if not allowed.rows_per_second:
            return
        with self._lock:
            bucket = self._bucket(key_id, allowed)
            _refuse_debt(bucket)
            if key_id not in self._buckets and len(self._buckets) >= MAX_BUCKETS:
                self._buckets = _not_full(self._buckets, self._clock())
            self._buckets[key_id] = bucket.charged(n_rows)

    def _bucket(self, key_id: UUID, allowed: Allowed) -> Bucket:
        """Return a key's bucket as it is now; a change of its limits holds from now on."""
        now = self._clock()
        known = self._buckets.get(key_id)
        rate, burst = allowed.rows_per_second, allowed.burst_rows
        balance = burst if known is None else min(known.later(now).balance, burst)
        return Bucket(rate=rate, burst=burst, balance=balance, at=now)


class Attempts:
    """A rate of attempts for each address, before anything of an attempt is read.

    Parameters
    ----------
    per_second, burst
        In the long run, and at once after a rest.
    clock
        Seconds; goes forward only.
    """

    def __init__(
        self,
        *,
        per_second: float,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._burst, self._clock = per_second, burst, clock
        self._buckets: dict[str, Bucket] = {}

    def count(self, address: str) -> None:
        """Count one attempt.

        Raises
        ------
        TooMany
            If there were more than the rate allows.
        """
        now = self._clock()
        known = self._buckets.get(address)
        balance = self._burst if known is None else known.later(now).balance
        if balance < 1:
            seconds = (1 - balance) / self._rate
            raise TooMany("too many attempts from this address", retry_after=seconds)
        if known is None and len(self._buckets) >= MAX_BUCKETS:
            self._buckets = _not_full(self._buckets, now)
        self._buckets[address] = Bucket(
            rate=self._rate, burst=self._burst, balance=balance - 1, at=now
        )


def _not_full(buckets: Mapping[K, Bucket], now: float) -> dict[K, Bucket]:
    """Leave out the full buckets: they need not be remembered."""
    return {key: one for key, one in buckets.items() if one.later(now).balance < one.burst}


def _refuse_debt(bucket: Bucket) -> None:
    if bucket.balance < 0:
        raise TooMany(
            f"more than {bucket.rate:.0f} rows a second", retry_after=bucket.seconds_of_debt
        )
