"""Groups of tasks, for learners whose meta-objective couples tasks."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from quickstudy.task import Task, TaskDistribution


class Groups(TaskDistribution[Task]):
    """`size` tasks in one, along a leading axis of every array.

    >>> Groups(Sinusoid(shot=10, query=10), 4).sample(key).support.x.shape
    (4, 10, 1)
    """

    tasks: TaskDistribution[Task]
    size: int = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray) -> Task:
        return jax.vmap(self.tasks.sample)(jax.random.split(key, self.size))

    def protocol(self) -> dict[str, Any]:
        return {**self.tasks.protocol(), "tasks in a group": self.size}
