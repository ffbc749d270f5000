"""Examples that lie in a file, for data beyond memory, and a feeder that fetches ahead.

What a training draws is a function of its seed. So the numbers of the rows that later steps will
read are known now: `read_ahead` draws them, without the pictures, and tells the kernel. Nothing
depends on that but speed, and a `MappedSource` gives the examples that an `ArraySource` gives.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.datasets.packed import Rows
from quickstudy.task import Episode, TaskDistribution
from quickstudy.tasks.arrays import ArraySource, shares
from quickstudy.tasks.source import ClassSource, distinct

TASKS_AT_ONCE = 16
"""How many tasks the feeder draws together."""


class MappedSource(ClassSource):
    """`ArraySource` for a memory-mapped array: those of class c are rows first[c] … first[c] +
    count[c] - 1 of the file, which are read when they are drawn.

    >>> MappedSource(np.load("x.npy", mmap_mode="r"), [0, 600], [600, 600], {"data": "birds"})
    """

    rows: Rows = eqx.field(static=True)
    first: Int[Array, " classes"]
    count: Int[Array, " classes"]
    classes: int = eqx.field(static=True)
    words: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    def __init__(self, x: np.memmap, first: Any, count: Any, words: dict[str, Any]):
        """`words` are those of `protocol`: data, split …"""
        self.rows = Rows.of(x)
        self.first, self.count = jnp.asarray(first), jnp.asarray(count)
        self.classes = len(first)
        self.words = tuple(words.items())

    def numbers(self, key: PRNGKeyArray, label: Int[Array, ""], count: int) -> Int[Array, " count"]:
        """Of the rows that `draw` takes."""
        return self.first[label] + distinct(key, self.count[label], count)

    def draw(
        self, key: PRNGKeyArray, label: Int[Array, ""], count: int
    ) -> Float[Array, "count ..."]:
        found = jax.ShapeDtypeStruct((count, *self.rows.shape), self.rows.dtype)
        numbers = self.numbers(key, label, count)
        return shares(
            jax.pure_callback(self.rows.read, found, numbers, vmap_method="broadcast_all")
        )

    def protocol(self) -> dict[str, Any]:
        return {**dict(self.words), "classes": self.classes}


class RowNumbers(ClassSource):
    """Pictures of one pixel: the number of the row that the source would have read."""

    source: MappedSource
    classes: int = eqx.field(static=True)

    def __init__(self, source: MappedSource):
        self.source = source
        self.classes = source.classes

    def draw(
        self, key: PRNGKeyArray, label: Int[Array, ""], count: int
    ) -> Int[Array, "count 1 1 1"]:
        return self.source.numbers(key, label, count).reshape(-1, 1, 1, 1)

    def protocol(self) -> dict[str, Any]:
        return self.source.protocol()


def is_mapped(node: Any) -> bool:
    """Whether it is where rows are read."""
    return isinstance(node, MappedSource)


def row_numbers(tasks: TaskDistribution[Episode]) -> TaskDistribution[Episode]:
    """The same tasks with the number of its row in the place of each example, as a picture of one
    pixel or one feature: the same key draws the same examples.

    >>> row_numbers(FewShot(source, way=5, shot=1, query=15)).sample(key).query.x.reshape(-1).shape
    (75,)
    """

    def numbered(source: Any) -> Any:
        if is_mapped(source):
            return RowNumbers(source)
        if not isinstance(source, ArraySource):
            return source
        x = source.x
        rows = jnp.arange(len(x)).reshape(-1, *(1,) * (x.ndim - 1))
        return eqx.tree_at(lambda of: of.x, source, rows)

    def is_source(node: Any) -> bool:
        return isinstance(node, MappedSource | ArraySource)

    return jax.tree.map(numbered, tasks, is_leaf=is_source)


Fetch = Callable[[int, int], None]
"""fetch(now, stop): tasks from number `now` on are taken now; those before `stop` will be."""


@contextmanager
def read_ahead(
    tasks: TaskDistribution, key_of: Callable[[Int[Array, ""]], PRNGKeyArray]
) -> Iterator[Fetch]:
    """A feeder for tasks that are drawn one after the other, number i with `key_of(i)`; it does
    nothing for tasks whose examples lie in memory. A thread does the work.

    >>> with read_ahead(tasks, key_of) as fetch:
    ...     fetch(100, 200)  # tasks from 100 on are taken now; those before 200 will be
    """
    sources = [x for x in jax.tree.leaves(tasks, is_leaf=is_mapped) if is_mapped(x)]
    if (
        len(sources) != 1
        or not hasattr(os, "posix_fadvise")
        or not isinstance(jax.eval_shape(tasks.sample, jax.random.key(0)), Episode)
    ):
        yield lambda now, stop: None
        return
    numbered, rows = row_numbers(tasks), sources[0].rows

    @jax.jit
    def numbers_of(tasks: Int[Array, " n"]) -> Int[Array, "n rows"]:
        episodes = jax.vmap(lambda i: numbered.sample(key_of(i)))(tasks)
        both = (episodes.support.x, episodes.query.x)
        return jnp.concatenate([x.reshape(len(x), -1) for x in both], 1)

    at = asked = 0

    def work(start: int, stop: int) -> None:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            for first in range(start, stop, TASKS_AT_ONCE):
                if at >= first + TASKS_AT_ONCE:
                    continue  # too late
                group = numbers_of(np.arange(first, first + TASKS_AT_ONCE, dtype=np.int32))
                rows.ask(np.asarray(group)[: stop - first])

    with ThreadPoolExecutor(1, "read-ahead") as pool:

        def fetch(now: int, stop: int) -> None:
            nonlocal at, asked
            at, start = now, max(now, asked)
            if stop > start:
                asked = stop
                pool.submit(work, start, stop)

        try:
            yield fetch
        finally:
            at = asked  # what is left is too late
            pool.shutdown(wait=False, cancel_futures=True)
