"""A fixed list of tasks, for learners that keep something for each of them."""

import abc
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Int, PRNGKeyArray

from quickstudy.task import Episode, TaskDistribution


class NumberedTask(Episode):
    """An episode of one of a fixed list of tasks, for learners that keep something for each."""

    number: Int[Array, ""]
    """The place of the task in that list."""


class Redrawn(TaskDistribution[Episode]):
    """A task distribution that can give a task again, with other examples."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray, examples: PRNGKeyArray | None = None) -> Episode:
        """The task of `key`; with `examples`, that task with examples drawn by this key."""


class Finite(TaskDistribution[NumberedTask]):
    """`size` tasks of a distribution, drawn once for all: their sine curves, or their classes
    and labels, stay; their examples are drawn anew each time.

    >>> Finite(Sinusoid(shot=10, query=10), 100).sample(key).number
    Array(42, dtype=int32)
    """

    tasks: Redrawn
    size: int = eqx.field(static=True)
    seed: int = eqx.field(static=True, default=0)

    def sample(self, key: PRNGKeyArray) -> NumberedTask:
        choose, examples = jax.random.split(key)
        number = jax.random.randint(choose, (), 0, self.size)
        which = jax.random.fold_in(jax.random.key(self.seed), number)
        task = self.tasks.sample(which, examples)
        return NumberedTask(task.support, task.query, task.likelihood, number)

    def protocol(self) -> dict[str, Any]:
        return {**self.tasks.protocol(), "tasks": self.size, "tasks from seed": self.seed}
