"""Work that takes the processor: one piece after the other, beside the loop for the clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Out = TypeVar("Out")


class Busy(Exception):
    """More waits than the limit, or it took too long."""


class Work:
    """A queue with one worker."""

    def __init__(self, most_waiting: int, most_seconds: float):
        self.most_waiting, self.most_seconds = most_waiting, most_seconds
        self.waiting = 0
        self._worker = ThreadPoolExecutor(1, "worker")

    async def do(self, function: Callable[..., Out], *arguments: Any) -> Out:
        """Call a function once all calls before it are done. Raises `Busy` where too many wait, or
        it has no answer in time: a call that waits is then dropped."""
        if self.waiting >= self.most_waiting:
            raise Busy(f"{self.waiting} requests wait already")
        self.waiting += 1
        try:
            loop = asyncio.get_running_loop()
            call = loop.run_in_executor(self._worker, function, *arguments)
            return await asyncio.wait_for(call, self.most_seconds)
        except TimeoutError:
            raise Busy(f"no answer within {self.most_seconds:g} seconds") from None
        finally:
            self.waiting -= 1

    def end(self) -> None:
        """Drop what waits."""
        self._worker.shutdown(wait=False, cancel_futures=True)
