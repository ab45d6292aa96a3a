"""Limits per key on the bytes of waiting requests and on the rate of rows.

They are checked before memory is allocated, and hold for one process. With n
replicas a key has n times its rate and its bytes: the replicas share only the
database, and a query for each request would cost more than the request.
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

MAX_BUCKETS = 10_000  # keys whose balance is stored; a full bucket need not be


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Limits of a key, completed with the settings of the installation; rate 0 is no limit."""

    body_bytes: int
    rows: int
    rows_per_second: float
    burst_rows: float
    waiting_bytes: int


def allowed(limits: Limits, settings: Settings) -> Allowed:
    """Return a key's limits, completed from the settings; the settings are upper bounds."""
    rate = limits.rows_per_second or settings.max_rows_per_second
    waiting = min(limits.waiting_bytes or MOST, settings.max_waiting_bytes)
    return Allowed(
        # A body that never fits is refused with 413 at once, not with 503 each time.
        body_bytes=min(limits.body_bytes or MOST, settings.max_body_bytes, waiting),
        rows=min(limits.rows or MOST, settings.max_rows),
        rows_per_second=rate,
        burst_rows=limits.burst_rows or BURST_SECONDS * rate,
        waiting_bytes=waiting,
    )


class Reservation:
    """Bytes held by a request, from before its body is read to its answer; not thread-safe."""

    __slots__ = ("_is_charged", "_limiter", "_n_bytes", "allowed", "key_id")

    def __init__(self, limiter: "BodyLimiter", key_id: UUID, allowed: Allowed) -> None:
        self._limiter = limiter
        self._n_bytes = 0
        self._is_charged = False
        self.key_id = key_id
        self.allowed = allowed

    def grow_to(self, n_bytes: int) -> None:
        """Reserve the bytes of a body of this size, before it is in memory.

        Call it with the declared size, then, as the body grows, with the size
        so far: only bytes beyond those already reserved are added.

        Raises
        ------
        TooLarge
            If the body is larger than the key may send.
        Busy
            If too few bytes are free now, or the key has reserved its share of them.
        """
        if n_bytes > self._n_bytes:
            if n_bytes > self.allowed.body_bytes:
                raise TooLarge(f"a body may have {self.allowed.body_bytes} bytes")
            n_more = n_bytes - self._n_bytes
            self._limiter.reserve(self.key_id, n_more, self.allowed.waiting_bytes)
            self._n_bytes = n_bytes

    def release(self) -> None:
        """Release the bytes; a second call has no effect."""
        if self._n_bytes:
            self._limiter.release(self.key_id, self._n_bytes)
            self._n_bytes = 0

    def charge(self, n_rows: int) -> None:
        """Count the rows of a decoded batch against the rate; also if repeated, once.

        Raises
        ------
        TooLarge
            If the batch has more rows than the key may send.
        TooMany
            If earlier batches have exceeded the rate; nothing is counted then.
        """
        if n_rows > self.allowed.rows:
            raise TooLarge(f"more than {self.allowed.rows} rows in one batch")
        if not self._is_charged:
            self._limiter.charge(self.key_id, self.allowed, n_rows)
            self._is_charged = True

    def is_row_limited(self, max_rows: int) -> bool:
        """Return whether the key has a rate, or may send fewer rows in a batch than others."""
        return bool(self.allowed.rows_per_second) or self.allowed.rows < max_rows


class BodyLimiter:
    """Bounds the bytes of waiting requests, and shares them fairly among keys.

    Dynamic threshold [1]_: a key may hold as many bytes as are still free. One
    key alone gets half of them, two get a third each, and n keys leave 1/(n + 1)
    free for a further key, so that no key is blocked by the queues of others.

    Parameters
    ----------
    max_bytes
        Limit for all requests together.
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
        """The bytes reserved now."""
        return self._n_bytes

    def admit(self, key_id: UUID, allowed: Allowed) -> Reservation:
        """Return an empty reservation for a request that has not been read yet.

        Raises
        ------
        TooMany
            If the key has sent more rows than its rate allows.
        """
        if allowed.rows_per_second and key_id in self._buckets:
            with self._lock:
                _refuse_debt(self._bucket(key_id, allowed))
        return Reservation(self, key_id, allowed)

    def reserve(self, key_id: UUID, n_bytes: int, most: int) -> None:
        """Reserve bytes for a key, which may hold `most`, or raise Busy."""
        with self._lock:
            held = self._held.get(key_id, 0) + n_bytes
            free = self._max_bytes - self._n_bytes - n_bytes
            if held > min(free, most):
                whose = "this key's" if held > n_bytes else "other"
                raise Busy(f"no room for {n_bytes} more bytes: {whose} requests are waiting")
            self._held[key_id] = held
            self._n_bytes += n_bytes

    def release(self, key_id: UUID, n_bytes: int) -> None:
        """Release bytes of a key."""
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
    """Limits the rate of attempts per address, before the request is read.

    Parameters
    ----------
    per_second, burst
        Attempts in the long run, and at once after a pause.
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
            If the address has made more attempts than the rate allows.
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
    """Return the buckets that are not full: the others need not be stored."""
    return {key: one for key, one in buckets.items() if one.later(now).balance < one.burst}


def _refuse_debt(bucket: Bucket) -> None:
    if bucket.balance < 0:
        raise TooMany(
            f"more than {bucket.rate:.0f} rows a second", retry_after=bucket.seconds_of_debt
        )
