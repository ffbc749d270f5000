"""The one idea: a learner is a function from a small data set to a predictor.

    predictor = learner.adapt(support, likelihood, key=key)     φ = f_ω(D_tr, L)
    predictor(x)                                                predictions for new inputs

The array leaves of a learner are the meta-parameters ω, and meta-learning learns them.
"""

import abc
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from quickstudy.likelihood import Categorical, Likelihood, absent_last
from quickstudy.task import Episode, Examples, TaskDistribution

Metrics = dict[str, Float[Array, ""]]


class Predictor(eqx.Module):
    """The result of adapting to a support set: a function from inputs to predictions.

    A predictor is a module, not a closure, so that its leaves can be saved and served.
    """

    @abc.abstractmethod
    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n size"]:
        """Predict for n inputs; the likelihood of the task reads the predictions."""

    def attention(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n support"] | None:
        """Give the share of each support example in the prediction for each input; None where a
        predictor does not attend to examples, as by default."""
        return None

    def embed(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n d"]:
        """Map inputs to vectors in the space where the predictor compares them: the features of its
        network, if it computes features before classes; by default the inputs themselves."""
        return 1.0 * x.reshape(x.shape[0], -1)


class Figures(eqx.Module):
    """The measurements on one task.

    >>> Figures({"return": jnp.asarray(7.5)}, headline="return", higher_is_better=True).bins
    """

    metrics: Metrics
    """Metrics by name: NaN where the task does not have the metric, infinite where adapting has
    diverged."""
    headline: str = eqx.field(static=True)
    """The metric that chooses between models."""
    higher_is_better: bool = eqx.field(static=True)
    """Whether a larger value of this metric is better."""
    bins: Float[Array, "bins 3"] | None = None
    """The sums of a reliability diagram (`Likelihood.calibration`); None where there are no
    probabilities."""


class Learnable(eqx.Module):
    """A module that meta-training can train: its floating-point leaves are the meta-parameters ω. A
    `Learner`, or an optimiser (`quickstudy.optimizers`).

    It never sees a batch of tasks: `vmap` adds that axis.
    """

    @abc.abstractmethod
    def figures(self, task: Any, *, key: PRNGKeyArray) -> Figures:
        """Measure the learner on one task, for evaluation and validation. The names of the metrics
        and `Figures.headline` are the same for all tasks of a distribution."""

    def tasks_at_once(self, tasks: TaskDistribution) -> int:
        """The number of tasks that are measured in parallel: by default 1, which suits images on a
        CPU."""
        return 1

    def at_step(self, step: Int[Array, ""]) -> "Learnable":
        """Return the learner that training step number `step` trains (from 0), where the
        meta-objective changes during training. By default it is `self`."""
        return self

    def initialised(self, tasks: TaskDistribution, *, key: PRNGKeyArray) -> "Learnable":
        """Estimate parameters from training tasks without gradients. Called once before the first
        step of training. By default nothing changes."""
        return self

    def settle(self, tasks: TaskDistribution, *, key: PRNGKeyArray) -> "Learnable":
        """Compute the values that depend on the training tasks and are not trained by gradients,
        such as the population statistics of batch normalisation. Called at the end of training and
        before each validation. By default nothing changes."""
        return self


class Learner(Learnable):
    """A method of meta-learning. One file each; see CONTRIBUTING.md to add your own."""

    @abc.abstractmethod
    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Predictor:
        """Learn from the support set: φ = f_ω(D_tr, L).

        Raises `ValueError` where the learner cannot serve the task, for example because its head
        has another number of classes."""

    def by_steps(
        self,
        support: Examples,
        likelihood: Likelihood,
        x: Shaped[Array, "n ..."],
        *,
        key: PRNGKeyArray,
    ) -> Float[Array, "steps n size"] | None:
        """Predict `x` before the first step of adaptation, after the first, …, after the last;
        None where adaptation has no steps to watch, as by default."""
        return None

    def answers(self, likelihood: Likelihood) -> Likelihood:
        """Return the likelihood that reads this learner's predictions in a task: by default the
        likelihood of the task. A learner that predicts a mixture or an interval returns a
        likelihood of its own, in which a prediction may have another number of outputs."""
        return likelihood

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Compute the meta-objective on one task, and metrics for the log: by default the query
        loss of the adapted predictor, -1/|D_ts| Σ log p(y | f_ω(D_tr)(x)), with the likelihood of
        `answers`."""
        predictions = self.predictions(task, key=key)
        answers = self.answers(task.likelihood)
        loss = answers.mean_loss(predictions, task.query.y)
        return loss, answers.metrics(predictions, task.query.y)

    def predictions(self, task: Episode, *, key: PRNGKeyArray) -> Float[Array, "n size"]:
        """Predict the queries of a task after adapting to its support set, or one after the other
        where `task.in_turn` is True. The likelihood of `answers` reads the predictions."""
        if task.in_turn:
            return self.in_turn(task.query, task.likelihood, key=key)
        return self.adapt(task.support, task.likelihood, key=key)(task.query.x)

    def figures(self, task: Episode, *, key: PRNGKeyArray) -> Figures:
        """Measure the predictions for the queries, and their calibration. A metric is NaN where the
        task does not define it for any predictions; where the predictions are not numbers, it has
        its worst value."""
        return self.figures_of(self.predictions(task, key=key), task)

    def figures_of(self, predictions: Float[Array, "n size"], task: Episode) -> Figures:
        """Compute the `figures` of given predictions for the queries of a task."""
        answers = self.answers(task.likelihood)
        found = task.metrics(predictions, answers)
        there = task.metrics(jnp.zeros_like(predictions), answers)
        worst = {answers.headline: -jnp.inf if answers.higher_is_better else jnp.inf}
        metrics = {
            name: jnp.where(jnp.isnan(x) & ~jnp.isnan(there[name]), worst.get(name, jnp.inf), x)
            for name, x in found.items()
        }
        bins = answers.calibration(predictions, task.query.y)
        return Figures(metrics, answers.headline, answers.higher_is_better, bins)

    def in_turn(
        self, examples: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, "n size"]:
        """Predict each example of a sequence from the examples before it. By default this calls
        `adapt` once per position, on a support set of fixed size: later positions are unlabelled
        copies of the newest example. Classes without an example so far come last (`absent_last`).

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
        """The source of the batch statistics that normalise queries: the queries themselves
        ("batch"), the support set ("support") or the training tasks ("running"). By default None:
        there is no batch normalisation."""
        return None

    # Promises: the contract suite holds a learner to each.

    @property
    def transductive(self) -> bool:
        """Whether the prediction for one query may depend on the other queries. By default True
        where queries are normalised by their own statistics."""
        return self.normalised_by == "batch"

    @property
    def uses_unlabelled(self) -> bool:
        """Whether predictions depend on the inputs of unlabelled support examples. By default True
        where the support set is normalised by its own statistics."""
        return self.normalised_by in ("batch", "support")

    @property
    def order_matters(self) -> bool:
        """Whether predictions depend on the order of the support examples."""
        return False

    @property
    def labels_are_names(self) -> bool:
        """Whether renaming the classes renames the predictions and changes nothing else. False
        where a label has parameters of its own, which must then be renamed too."""
        return True

    @property
    def absent_last(self) -> bool:
        """Whether a class without a labelled example gets the lowest logit
        (`likelihood.absent_last`). False where parameters give each class its logit."""
        return True

    @property
    def has_slope(self) -> bool:
        """Whether the gradient of `loss` by back-propagation is its slope. False where terms are
        left out (first-order gradients) or replaced by a relaxation."""
        return True


class AskingLearner(Learner):
    """A learner that can choose which unlabelled support example to ask about."""

    @abc.abstractmethod
    def acquire(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, " n"]:
        """Score each support example. The learner asks for the label of the unlabelled example with
        the highest score; the scores of labelled examples have no effect."""
