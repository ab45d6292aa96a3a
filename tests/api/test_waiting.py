import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

import pytest

from api.ingestion.backlog import answered


def _answer(some: list[Future[int]], first: int) -> None:
    for no, each in enumerate(some, first):
        each.set_result(no)


def test_every_answer_reaches_the_one_who_waits_for_it() -> None:
    async def ask() -> list[int]:
        asked: list[Future[int]] = [Future() for _ in range(2000)]
        with ThreadPoolExecutor(4) as threads:
            for some in pairwise(range(0, 2001, 500)):
                threads.submit(_answer, asked[slice(*some)], some[0])
            return await asyncio.gather(*(answered(each) for each in asked))

    assert asyncio.run(ask()) == [*range(2000)]


def test_what_was_answered_before_is_not_waited_for() -> None:
    done: Future[str] = Future()
    done.set_result("kept")
    assert asyncio.run(answered(done)) == "kept"


def test_a_refusal_is_raised() -> None:
    refused: Future[None] = Future()
    refused.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        asyncio.run(answered(refused))


def test_who_stops_waiting_holds_up_nobody() -> None:
    async def ask() -> str:
        left, kept = Future[str](), Future[str]()
        waiting = asyncio.ensure_future(answered(left))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        left.set_result("nobody hears it")
        kept.set_result("kept")
        return await answered(kept)

    assert asyncio.run(ask()) == "kept"


def test_a_loop_that_is_gone_is_not_called() -> None:
    late: Future[str] = Future()

    async def ask() -> None:
        asyncio.ensure_future(answered(late))  # noqa: RUF006 - it is left behind
        await asyncio.sleep(0)

    asyncio.run(ask())
    late.set_result("nobody hears it")
