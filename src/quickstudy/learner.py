"""The one idea: a learner is a function from a small data set to a predictor.

    predictor = learner.adapt(support, likelihood, key=key)     φ = f_ω(D_tr, L)
    predictor(x)                                                predictions for new inputs

The array leaves of a learner are the meta-parameters ω, and meta-learning learns them.
"""

import abc

import equinox as eqx
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from quickstudy.likelihood import Likelihood
from quickstudy.task import Episode, Examples, TaskDistribution

Metrics = dict[str, Float[Array, ""]]


class Predictor(eqx.Module):
    """What a learner has made of a support set: a function from inputs to predictions.

    A predictor is a module, not a closure, so that its leaves can be saved and served.
    """

    @abc.abstractmethod
    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n size"]:
        """Predictions for n inputs, as the task's likelihood reads them."""


class Learner(eqx.Module):
    """A method of meta-learning. One file each; see CONTRIBUTING.md to add your own.

    A learner never sees a batch of tasks: `vmap` adds that axis.
    """

    @abc.abstractmethod
    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Predictor:
        """φ = f_ω(D_tr, L): learn from the support set.

        Raises `ValueError` where the learner cannot serve the task, say a classifier's head
        with another number of classes.
        """

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """The meta-objective on one task, and figures to watch: by default the query loss of
        the adapted predictor, -1/|D_ts| Σ log p(y | f_ω(D_tr)(x))."""
        predictor = self.adapt(task.support, task.likelihood, key=key)
        predictions = predictor(task.query.x)
        loss = task.likelihood.mean_loss(predictions, task.query.y)
        return loss, task.likelihood.metrics(predictions, task.query.y)

    def at_step(self, step: Int[Array, ""]) -> "Learner":
        """The learner whose `loss` training step number `step` asks for (from 0), where the
        meta-objective changes as training goes on. By default it does not."""
        return self

    def settle(self, tasks: TaskDistribution[Episode], *, key: PRNGKeyArray) -> "Learner":
        """Called once training is over, and before each validation: fix what depends on the
        training tasks and is not trained by gradients, such as the population statistics of
        batch normalisation. By default there is nothing to do."""
        return self

    @property
    def transductive(self) -> bool:
        """Whether the prediction for one query may depend on the other queries."""
        return False


class AskingLearner(Learner):
    """A learner that can choose which unlabelled support example to ask about."""

    @abc.abstractmethod
    def acquire(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, " n"]:
        """How much it wants to know the label of each support example: the unlabelled one with
        the highest number is asked about. Those of labelled examples do not count.

        Raises `ValueError` where it has not been trained to ask.
        """
