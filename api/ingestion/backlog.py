"""Lets coroutines wait for futures that a thread completes."""

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class _Round:
    """Futures completed since the event loop last delivered them.

    One call wakes the loop for a whole group of answers; a call for each
    answer would cost both threads more than the answers themselves.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answered: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._is_called = False

    def add(self, waiter: asyncio.Future[T], answer: Future[T]) -> None:
        """Add a completed future; called from the thread that completed it."""
        self._answered.append((waiter, answer))
        if not self._is_called and not self._loop.is_closed():
            # After the append: an answer added later calls again.
            self._is_called = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_called = False
        while self._answered:
            waiter, answer = self._answered.popleft()
            if waiter.done():  # its coroutine was cancelled
                continue
            error = answer.exception()
            if error is None:
                waiter.set_result(answer.result())
            else:
                waiter.set_exception(error)


_rounds: WeakKeyDictionary[asyncio.AbstractEventLoop, _Round] = WeakKeyDictionary()


async def answered(answer: Future[T]) -> T:
    """Wait for a future. Cancelling the wait does not cancel the future."""
    loop = asyncio.get_running_loop()
    turn = _rounds.get(loop)
    if turn is None:
        turn = _rounds[loop] = _Round(loop)
    waiter: asyncio.Future[T] = loop.create_future()
    answer.add_done_callback(lambda done: turn.add(waiter, done))
    return await waiter
