"""The queue of the server: its limits."""

import asyncio
import threading
import time

import pytest

from quickstudy.serving.server.work import Busy, Work, require_wanted


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


def test_what_is_given_up_changes_nothing_and_what_has_begun_to_is_answered():
    go, began, changed = threading.Event(), threading.Event(), []

    def change(wanted_at_once: bool) -> str:
        if wanted_at_once:
            require_wanted()
            began.set()
        go.wait()
        if not wanted_at_once:
            require_wanted()
        changed.append(wanted_at_once)
        return "changed"

    async def ask(wanted_at_once: bool) -> str:
        go.clear()
        work = Work(3, 0.1)
        try:
            asyncio.get_running_loop().call_later(0.2, go.set)
            return await work.do(change, wanted_at_once)
        finally:
            await asyncio.sleep(0.2)
            work._worker.shutdown()

    with pytest.raises(Busy, match="no answer within"):
        asyncio.run(ask(False))
    assert changed == []
    assert asyncio.run(ask(True)) == "changed"
    assert changed == [True]
    require_wanted()  # beside the worker there is always someone


def test_the_time_counts_from_the_arrival_of_the_request():
    async def ask() -> None:
        work = Work(3, 10)
        with pytest.raises(Busy, match="no answer within 10 seconds"):
            await work.do(time.sleep, 0.1, began=time.monotonic() - 11)
        work.end()

    asyncio.run(ask())
