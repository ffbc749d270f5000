"""Meta-gradients with a state that goes from one meta-step to the next: for inner processes that
are longer than what one meta-step looks at, and for inner optimisers that remember earlier tasks.
"""

import abc
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PRNGKeyArray, PyTree

from quickstudy.learner import Learnable, Metrics
from quickstudy.task import TaskDistribution, TaskKeys

PlacesKeys = tuple[Key[Array, " places"], Key[Array, " places"]]
"""`TaskKeys` of several places."""


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
        keys: TaskKeys,
        step: Int[Array, ""],
    ) -> tuple[Learnable, Metrics, PyTree]:
        """The gradient with the learner's structure, metrics with `loss` among them, and what is
        carried to the next step. `keys` are new with every step and place: one draws a task, the
        other is the learner's."""

    def of_several(
        self,
        learner: Any,
        tasks: TaskDistribution,
        carried: PyTree,
        keys: PlacesKeys,
        step: Int[Array, ""],
    ) -> tuple[Learnable, Metrics, PyTree]:
        """The means over places that are taken together, and what each carries on: arrays of
        `carried`, and `keys`, have a leading axis of places."""
        gradients, metrics, carried = jax.vmap(
            lambda place, keys: self(learner, tasks, place, keys, step)
        )(carried, keys)
        return *jax.tree.map(lambda x: jnp.mean(x, 0), (gradients, metrics)), carried
