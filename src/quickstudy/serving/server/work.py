"""Work that takes the processor: one piece after the other, beside the loop for the clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from threading import Lock
from typing import Any, TypeVar

Out = TypeVar("Out")


class Busy(Exception):
    """More waits than the limit, or it took too long."""


_FATE: ContextVar[Lock | None] = ContextVar("fate", default=None)
"""Of the call that runs: who takes it first decides whether the call changes something, or is given
up."""


def require_wanted() -> None:
    """Called once, before something is changed. Raises `Busy` where the call was given up."""
    fate = _FATE.get()
    if fate is not None and not fate.acquire(blocking=False):
        raise Busy("nobody waits for this any more")


class Work:
    """A queue with one worker."""

    def __init__(self, most_waiting: int, most_seconds: float):
        self.most_waiting, self.most_seconds = most_waiting, most_seconds
        self.waiting = 0
        self._worker = ThreadPoolExecutor(1, "worker")

    async def do(
        self, function: Callable[..., Out], *arguments: Any, began: float | None = None
    ) -> Out:
        """Call a function once all calls before it are done. Raises `Busy` where too many wait, or
        it has no answer in time after it `began` (`time.monotonic`; None: now). A call that waits
        is then dropped, and one that runs changes nothing any more (`require_wanted`)."""
        if self.waiting >= self.most_waiting:
            raise Busy(f"{self.waiting} requests wait already")
        self.waiting += 1
        spent = 0.0 if began is None else time.monotonic() - began
        context, fate = copy_context(), Lock()
        context.run(_FATE.set, fate)
        try:
            loop = asyncio.get_running_loop()
            call = loop.run_in_executor(self._worker, lambda: context.run(function, *arguments))
            await asyncio.wait([call], timeout=max(self.most_seconds - spent, 0))
            if not call.done() and fate.acquire(blocking=False):
                call.cancel()
                raise Busy(f"no answer within {self.most_seconds:g} seconds")
            return await call
        finally:
            self.waiting -= 1

    def end(self) -> None:
        """Drop what waits."""
        self._worker.shutdown(wait=False, cancel_futures=True)
