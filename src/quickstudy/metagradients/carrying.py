"""Meta-gradients that go on, from one meta-step to the next, where they were on each task: for
inner processes that are longer than what one meta-step looks at.
"""

import abc
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PRNGKeyArray, PyTree

from quickstudy.learner import Learnable, Metrics
from quickstudy.task import TaskDistribution


class Carrying(abc.ABC):
    """A meta-gradient with a state for each place in the meta-batch: a pytree of arrays, which
    training keeps from step to step and in its checkpoints."""

    @abc.abstractmethod
    def start(self, learner: Any, tasks: TaskDistribution, key: PRNGKeyArray) -> PyTree:
        """Before the first step, for one place."""

    @abc.abstractmethod
    def __call__(
        self,
        learner: Any,
        tasks: TaskDistribution,
        carried: PyTree,
        key: PRNGKeyArray,
        step: Int[Array, ""],
    ) -> tuple[Learnable, Metrics, PyTree]:
        """The gradient with the learner's structure, metrics with `loss` among them, and what is
        carried to the next step. `key` is new with every step and place."""

    def of_several(
        self,
        learner: Any,
        tasks: TaskDistribution,
        carried: PyTree,
        keys: Key[Array, " places"],
        step: Int[Array, ""],
    ) -> tuple[Learnable, Metrics, PyTree]:
        """The means over places that are taken together, and what each carries on: arrays of
        `carried`, and `keys`, have a leading axis of places."""
        gradients, metrics, carried = jax.vmap(
            lambda place, key: self(learner, tasks, place, key, step)
        )(carried, keys)
        return *jax.tree.map(lambda x: jnp.mean(x, 0), (gradients, metrics)), carried
