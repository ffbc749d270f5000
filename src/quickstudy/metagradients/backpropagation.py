"""The meta-gradient by differentiating through adaptation."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

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
    learner: Learner,
    draw: Callable[[Int[Array, ""]], tuple[Episode, PRNGKeyArray]],
    numbers: Int[Array, " tasks"],
) -> tuple[Learner, Metrics]:
    """The mean of `backpropagation`, and of its metrics, over the tasks that `draw` gives for
    these numbers, each with a key for the learner: the gradient of their mean loss. Where all tasks
    multiply by the same parameters, their gradients are summed within one matrix product, and no
    task's own is kept.
    """

    def objective(learner: Learner):
        def of_one(number: Int[Array, ""]):
            task, key = draw(number)
            loss, metrics = learner.loss(task, key=key)
            return {"loss": loss, **metrics}

        means = jax.tree.map(jnp.mean, jax.vmap(of_one)(numbers))
        return means["loss"], means

    return eqx.filter_grad(objective, has_aux=True)(learner)
