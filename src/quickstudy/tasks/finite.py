"""A fixed list of tasks, for learners that have parameters for each task."""

import abc
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Int, PRNGKeyArray

from quickstudy.task import Episode, TaskDistribution


class NumberedTask(Episode):
    """An episode of a fixed list of tasks, with its number, for learners that have parameters for
    each task."""

    number: Int[Array, ""]
    """The index of the task in the list."""


class Redrawn(TaskDistribution[Episode]):
    """A task distribution that can draw a task again, with other examples."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray, examples: PRNGKeyArray | None = None) -> Episode:
        """Draw the task of `key`; with `examples`, the same task with examples drawn by this
        key."""


class Finite(TaskDistribution[NumberedTask]):
    """`size` fixed tasks of a distribution: their sine curves, or their classes and labels, are
    drawn once; their examples are drawn each time.

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
