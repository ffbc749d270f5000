"""The meta-gradient by differentiating through adaptation."""

import equinox as eqx
from jaxtyping import PRNGKeyArray

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
