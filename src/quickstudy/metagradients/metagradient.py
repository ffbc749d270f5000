"""The interface of meta-gradients: estimates of ∂(meta-objective)/∂ω, place by place.

A meta-batch has a fixed number of places. At each training step every place draws a task, and
training updates ω against the mean of the places' gradients. A meta-gradient may keep a state for
each place from one training step to the next: the position of a long inner process, or the state of
an inner optimiser. A meta-gradient without a state has the empty state `()`."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PRNGKeyArray, PyTree

from quickstudy.learner import Metrics
from quickstudy.task import TaskDistribution, TaskKeys

PlacesKeys = tuple[Key[Array, " places"], Key[Array, " places"]]
"""`TaskKeys` of several places."""

Step = Int[Array, ""]
"""The number of a training step, from 0."""

Carried = TypeVar("Carried")
"""The state of a place: a pytree of arrays."""

Estimate = tuple[PyTree, Metrics, Carried]
"""The gradient with the learner's structure (None where the learner has no floating-point array),
metrics with `loss` among them, and the state for the next training step."""


class MetaGradient(abc.ABC, Generic[Carried]):
    """An estimator of the meta-gradient. Training keeps the state of each place and saves it in
    checkpoints, so a stopped training continues bit for bit.

    `learner` has the type that the estimator needs: a `Learner`, a `Process`, a `TrainsOnTasks`.
    """

    def start(
        self, learner: Any, tasks: TaskDistribution, key: PRNGKeyArray
    ) -> Carried | tuple[()]:
        """Return the state of one place before the first training step: by default `()`."""
        return ()

    @abc.abstractmethod
    def __call__(
        self, learner: Any, tasks: TaskDistribution, carried: Carried, keys: TaskKeys, step: Step
    ) -> Estimate[Carried]:
        """Estimate the gradient at one place. `keys` are new at each step and place: the first
        draws a task, the second is for the learner."""

    def of_several(
        self, learner: Any, tasks: TaskDistribution, carried: Carried, keys: PlacesKeys, step: Step
    ) -> Estimate[Carried]:
        """Return the mean gradient and metrics of several places, and the state of each. `carried`
        and `keys` have a leading axis of places. By default the gradients of the places are
        computed in parallel and averaged."""
        gradients, metrics, carried = jax.vmap(
            lambda place, keys: self(learner, tasks, place, keys, step)
        )(carried, keys)
        return *jax.tree.map(lambda x: jnp.mean(x, 0), (gradients, metrics)), carried


@dataclass(frozen=True)
class PerTask(MetaGradient[tuple[()]]):
    """The meta-gradient of a plain function (learner, task, key) -> (gradient, metrics), which
    keeps nothing from step to step.

    >>> def signs(learner, task, key):
    ...     gradient, metrics = Backpropagation().of_task(learner, task, key)
    ...     return jax.tree.map(jnp.sign, gradient), metrics
    >>> meta_train(learner, tasks, optax.sgd(1e-3), steps=1000, meta_gradient=PerTask(signs))
    """

    function: Callable[[Any, Any, PRNGKeyArray], tuple[PyTree, Metrics]]

    def __call__(
        self, learner: Any, tasks: TaskDistribution, carried: tuple[()], keys: TaskKeys, step: Step
    ) -> Estimate[tuple[()]]:
        for_task, for_learner = keys
        gradient, metrics = self.function(learner, tasks.sample(for_task), for_learner)
        return gradient, metrics, carried
