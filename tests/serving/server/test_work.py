"""The queue of the server: its limits."""

import asyncio
import threading

import pytest

from quickstudy.serving.server.work import Busy, Work


def test_more_than_the_limit_is_told_to_come_again():
    go = threading.Event()

    async def ask() -> list:
        work = Work(3, 10)
        calls = [asyncio.create_task(work.do(go.wait)) for _ in range(5)]
        await asyncio.sleep(0.05)
        assert work.waiting == 3
        go.set()
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert work.waiting == 0
        work.end()
        return found

    found = asyncio.run(ask())
    assert found[:3] == [True] * 3
    assert all(isinstance(one, Busy) for one in found[3:])


def test_what_takes_too_long_is_given_up_and_what_waited_is_dropped():
    go, called = threading.Event(), []

    async def ask() -> None:
        work = Work(3, 0.1)
        first = asyncio.create_task(work.do(go.wait))
        second = asyncio.create_task(work.do(called.append, 2))
        for call in (first, second):
            with pytest.raises(Busy, match="no answer within"):
                await call
        go.set()
        assert await work.do(lambda: "again") == "again"
        work.end()

    asyncio.run(ask())
    assert called == []
