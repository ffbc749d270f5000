"""Episodes with queries of classes that are not in the episode (open-set recognition: Scheirer et
al. 2013; in few-shot episodes, Liu et al. 2020)."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.tasks.few_shot import FewShot


class OpenSet(TaskDistribution[Episode]):
    """The episodes of `tasks`, with equally many further queries from equally many other classes,
    labelled -1.

    Raises `ValueError` unless there are twice as many classes as an episode has.

    >>> OpenSet(FewShot(source, way=5, shot=1, query=15)).sample(key).query.y.shape
    (150,)
    """

    tasks: FewShot

    def __check_init__(self):
        if 2 * self.tasks.way > self.tasks.source.classes:
            raise ValueError(
                f"{self.tasks.way} classes and as many others, of {self.tasks.source.classes}"
            )

    def sample(self, key: PRNGKeyArray) -> Episode:
        way = self.tasks.way
        both = replace(self.tasks, way=2 * way).sample(key)
        of_support, query = way * self.tasks.shot, both.query
        return Episode(
            Examples(both.support.x[:of_support], both.support.y[:of_support]),
            Examples(query.x, jnp.where(query.y < way, query.y, -1)),
            self.tasks.likelihood,
        )

    def protocol(self) -> dict[str, Any]:
        return {**self.tasks.protocol(), "unknown classes": self.tasks.way}
