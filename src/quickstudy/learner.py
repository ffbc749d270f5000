"""The one idea: a learner is a function from a small data set to a predictor.

    predictor = learner.adapt(support, likelihood, key=key)     φ = f_ω(D_tr, L)
    predictor(x)                                                predictions for new inputs

The array leaves of a learner are the meta-parameters ω, and meta-learning learns them.
"""

import abc
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from quickstudy.likelihood import Categorical, Likelihood, absent_last
from quickstudy.task import Episode, Examples, Sequence, TaskDistribution

Metrics = dict[str, Float[Array, ""]]


class Predictor(eqx.Module):
    """What a learner has made of a support set: a function from inputs to predictions.

    A predictor is a module, not a closure, so that its leaves can be saved and served.
    """

    @abc.abstractmethod
    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n size"]:
        """Predictions for n inputs, as the task's likelihood reads them."""


class Learnable(eqx.Module):
    """What meta-training trains: a module whose floating-point leaves are the meta-parameters ω.
    A `Learner`, or an optimiser (`quickstudy.optimizers`).

    It never sees a batch of tasks: `vmap` adds that axis.
    """

    def at_step(self, step: Int[Array, ""]) -> "Learnable":
        """What training step number `step` trains (from 0), where the meta-objective changes as
        training goes on. By default it does not."""
        return self

    def settle(self, tasks: TaskDistribution, *, key: PRNGKeyArray) -> "Learnable":
        """Called once training is over, and before each validation: fix what depends on the
        training tasks and is not trained by gradients, such as the population statistics of
        batch normalisation. By default there is nothing to do."""
        return self


class Learner(Learnable):
    """A method of meta-learning. One file each; see CONTRIBUTING.md to add your own."""

    @abc.abstractmethod
    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Predictor:
        """φ = f_ω(D_tr, L): learn from the support set.

        Raises `ValueError` where the learner cannot serve the task, say a classifier's head
        with another number of classes.
        """

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """The meta-objective on one task, and figures to watch: by default the query loss of
        the adapted predictor, -1/|D_ts| Σ log p(y | f_ω(D_tr)(x))."""
        predictions = self.predictions(task, key=key)
        loss = task.likelihood.mean_loss(predictions, task.query.y)
        return loss, task.likelihood.metrics(predictions, task.query.y)

    def predictions(self, task: Episode, *, key: PRNGKeyArray) -> Float[Array, "n size"]:
        """For the queries of a task, after adapting to its support set; of a `Sequence`, for each
        example in its turn."""
        if isinstance(task, Sequence):
            return self.in_turn(task.query, task.likelihood, key=key)
        return self.adapt(task.support, task.likelihood, key=key)(task.query.x)

    def in_turn(
        self, examples: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, "n size"]:
        """Predictions for each example of a sequence from those before it. By default it adapts
        anew each time, to a set in which those to come are unlabelled copies of the newest one;
        classes that have not come up yet are behind all others (`absent_last`).

        Raises `ValueError` where targets are not classes.
        """
        if not isinstance(likelihood, Categorical):
            raise ValueError("learners of sets predict classes in turn, not words or numbers")
        order = jnp.arange(len(examples.y))

        def predict(now: Int[Array, ""]) -> Float[Array, " size"]:
            x = examples.x[jnp.minimum(order, jnp.maximum(now - 1, 0))]
            y = jnp.where(order < now, examples.y, -1)
            logits = self.adapt(Examples(x, y), likelihood, key=key)(examples.x[now][None])[0]
            return absent_last(logits, likelihood.seen(y))

        return jax.lax.map(predict, order)

    @property
    def normalised_by(self) -> Literal["batch", "support", "running"] | None:
        """Whose batch statistics normalise queries: their own ("batch"), those of the support set
        ("support") or of the training tasks ("running"). By default None: there is no batch
        normalisation."""
        return None

    @property
    def transductive(self) -> bool:
        """Whether the prediction for one query may depend on the other queries. By default it does
        where they are normalised by their own statistics."""
        return self.normalised_by == "batch"


class AskingLearner(Learner):
    """A learner that can choose which unlabelled support example to ask about."""

    @abc.abstractmethod
    def acquire(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, " n"]:
        """How much it wants to know the label of each support example: the unlabelled one with
        the highest number is asked about. Those of labelled examples do not count."""
