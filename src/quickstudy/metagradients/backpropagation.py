"""The meta-gradient by differentiating through adaptation."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from quickstudy.learner import Metrics
from quickstudy.metagradients.metagradient import Carried, Estimate, MetaGradient, PlacesKeys, Step
from quickstudy.task import TaskDistribution, TaskKeys


class LossGradient(MetaGradient[Carried]):
    """The derivative of a loss. Over several places it is the gradient of their mean loss: where
    all places multiply by the same parameters, their gradients are summed within one matrix
    product, and the gradient of a single place is never stored."""

    @abc.abstractmethod
    def loss(
        self, learner: Any, tasks: TaskDistribution, carried: Carried, keys: TaskKeys, step: Step
    ) -> tuple[Metrics, Carried]:
        """Compute the metrics of one place, with `loss` among them, and its next state."""

    def __call__(
        self, learner: Any, tasks: TaskDistribution, carried: Carried, keys: TaskKeys, step: Step
    ) -> Estimate[Carried]:
        return derivative(lambda learner: self.loss(learner, tasks, carried, keys, step), learner)

    def of_several(
        self, learner: Any, tasks: TaskDistribution, carried: Carried, keys: PlacesKeys, step: Step
    ) -> Estimate[Carried]:
        def mean_loss(learner: Any) -> tuple[Metrics, Carried]:
            metrics, after = jax.vmap(
                lambda place, keys: self.loss(learner, tasks, place, keys, step)
            )(carried, keys)
            return jax.tree.map(jnp.mean, metrics), after

        return derivative(mean_loss, learner)


def derivative(loss: Callable[[Any], tuple[Metrics, Carried]], learner: Any) -> Estimate[Carried]:
    """Differentiate the metric `loss` with respect to the learner's floating-point arrays."""

    def objective(learner: Any):
        metrics, after = loss(learner)
        return metrics["loss"], (metrics, after)

    gradient, (metrics, after) = eqx.filter_grad(objective, has_aux=True)(learner)
    return gradient, metrics, after


@dataclass(frozen=True)
class Backpropagation(LossGradient[tuple[()]]):
    """∂/∂ω of `learner.loss(task)`, exactly as the learner computes it.

    >>> meta_train(learner, tasks, optax.adam(1e-3), steps=1000, meta_gradient=Backpropagation())
    """

    def loss(
        self, learner: Any, tasks: TaskDistribution, carried: tuple[()], keys: TaskKeys, step: Step
    ) -> tuple[Metrics, tuple[()]]:
        for_task, for_learner = keys
        return loss_and_metrics(learner, tasks.sample(for_task), for_learner), carried

    def of_task(self, learner: Any, task: Any, key: PRNGKeyArray) -> tuple[PyTree, Metrics]:
        """Differentiate the loss on a given task; return the gradient and the metrics."""
        gradient, metrics, _ = derivative(
            lambda learner: (loss_and_metrics(learner, task, key), ()), learner
        )
        return gradient, metrics


def loss_and_metrics(learner: Any, task: Any, key: PRNGKeyArray) -> Metrics:
    """Return the learner's metrics on one task, with `loss` among them."""
    loss, metrics = learner.loss(task, key=key)
    return {"loss": loss, **metrics}
