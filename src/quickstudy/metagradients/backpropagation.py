"""The meta-gradient by differentiating through adaptation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PRNGKeyArray

from quickstudy.learner import Learner, Metrics
from quickstudy.task import Episode


def backpropagation(learner: Learner, task: Episode, key: PRNGKeyArray) -> tuple[Learner, Metrics]:
    """∂/∂ω of `learner.loss(task)`, exactly as the learner computes it, and its metrics with
    the loss among them. The gradient has the learner's structure, None where it has no number.
    """

    def objective(learner: Learner):
        loss, metrics = learner.loss(task, key=key)
        return loss, {"loss": loss, **metrics}

    gradient, metrics = eqx.filter_grad(objective, has_aux=True)(learner)
    return gradient, metrics


def of_several(
    learner: Learner, tasks: Episode, keys: Key[Array, " tasks"]
) -> tuple[Learner, Metrics]:
    """The mean of `backpropagation`, and of the metrics, over tasks along the leading axis of every
    array: the gradient of their mean loss. Where all tasks multiply by the same parameters, their
    gradients are summed within one matrix product; no task's own is kept.
    """

    def objective(learner: Learner):
        losses, metrics = jax.vmap(lambda task, key: learner.loss(task, key=key))(tasks, keys)
        means = jax.tree.map(jnp.mean, {"loss": losses, **metrics})
        return means["loss"], means

    return eqx.filter_grad(objective, has_aux=True)(learner)
