"""Episodes with a random number of shots, so one training serves any number (Mishra et al.
2018)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from quickstudy.task import Episode
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.finite import Redrawn
from quickstudy.tasks.source import ClassSource


class AnyShot(Redrawn):
    """The episodes of `tasks`, in which only the first k support examples of each class keep their
    label, and the others get -1. k is drawn for each episode from 1 to its number of shots.

    >>> AnyShot(FewShot(source, way=2, shot=3, query=1)).sample(key).support.y       # where k is 2
    Array([ 0,  0, -1,  1,  1, -1], dtype=int32)
    """

    tasks: FewShot

    @property
    def source(self) -> ClassSource:
        return self.tasks.source

    def sample(self, key: PRNGKeyArray, examples: PRNGKeyArray | None = None) -> Episode:
        episode = self.tasks.sample(key, examples)
        y = episode.support.y
        count = jax.random.randint(jax.random.fold_in(key, 1), (), 1, self.tasks.shot + 1)
        before = jnp.tril(y[:, None] == y, -1).sum(1)
        return eqx.tree_at(lambda e: e.support.y, episode, jnp.where(before < count, y, -1))

    def protocol(self) -> dict[str, Any]:
        return {**self.tasks.protocol(), "labelled per class": f"1 to {self.tasks.shot}"}
