"""Cache with a time to live."""

import time
from collections.abc import Callable
from datetime import timedelta
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

# Above this many entries the whole cache is dropped: far more than there are
# keys or models, so it only bounds memory.
MAX_ENTRIES = 10_000


class Cached(Generic[Key, Value]):
    """Calls `load` at most once per key and time to live; safe under threads.

    Exceptions of `load` are not cached: an unknown name is loaded each time, so
    a model or a key that was just created is found at once.
    """

    def __init__(
        self,
        load: Callable[[Key], Value],
        ttl: timedelta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._ttl = ttl.total_seconds()
        self._clock = clock
        self._entries: dict[Key, tuple[float, Value]] = {}
        self._lock = Lock()

    def get(self, key: Key) -> Value:
        """Return what `load` returns, or returned at most one time to live ago."""
        # The age counts from before the read: whatever changed after that is seen in time.
        read_at = self._clock()
        entry = self._entries.get(key)
        if entry is not None and read_at < entry[0]:
            return entry[1]
        try:
            value = self._load(key)
        except Exception:
            self.forget(key)
            raise
        with self._lock:
            if len(self._entries) >= MAX_ENTRIES:
                self._entries.clear()
            self._entries[key] = (read_at + self._ttl, value)
        return value

    def cached(self, key: Key) -> Value | None:
        """Return the cached value, or None; does not call `load`."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None and self._clock() < entry[0] else None

    def forget(self, key: Key) -> None:
        """Drop an entry: the next `get` calls `load`."""
        with self._lock:
            self._entries.pop(key, None)
