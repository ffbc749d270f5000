"""Work in threads, a group of items ahead of what is asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def ahead(
    pool: ThreadPoolExecutor, function: Callable[[In], Out], groups: Iterable[Iterable[In]]
) -> Iterator[list[Out]]:
    """Give the results of each group, while those of the next one are computed."""
    waiting: deque[Iterator[Out]] = deque()
    for group in groups:
        waiting.append(pool.map(function, group))
        if len(waiting) > 1:
            yield list(waiting.popleft())
    while waiting:
        yield list(waiting.popleft())
