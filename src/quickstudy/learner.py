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
    """What a learner has made of a support set: a function from inputs to predictions.

    A predictor is a module, not a closure, so that its leaves can be saved and served.
    """

    @abc.abstractmethod
    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n size"]:
        """Predictions for n inputs, as the task's likelihood reads them."""

    def attention(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n support"] | None:
        """Give the share of each support example in the prediction for each input; None where a
        predictor does not attend to examples, as by default."""
        return None

    def embed(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n d"]:
        """Give inputs as vectors in the space where the predictor compares them: the features of
        its network, where it has some before it says a class; by default the inputs themselves."""
        return 1.0 * x.reshape(x.shape[0], -1)


class Figures(eqx.Module):
    """What is measured on one task.

    >>> Figures({"return": jnp.asarray(7.5)}, headline="return", higher_is_better=True).bins
    """

    metrics: Metrics
    """By name: NaN where the task does not have the figure, infinite where what was learned has
    diverged."""
    headline: str = eqx.field(static=True)
    """Which metric chooses between models."""
    higher_is_better: bool = eqx.field(static=True)
    """Whether that metric should be large."""
    bins: Float[Array, "bins 3"] | None = None
    """The sums of a reliability diagram (`Likelihood.calibration`); None where no probability is
    claimed."""


class Learnable(eqx.Module):
    """What meta-training trains: a module whose floating-point leaves are the meta-parameters ω.
    A `Learner`, or an optimiser (`quickstudy.optimizers`).

    It never sees a batch of tasks: `vmap` adds that axis.
    """

    @abc.abstractmethod
    def figures(self, task: Any, *, key: PRNGKeyArray) -> Figures:
        """Measure what becomes of one task, for evaluation and validation. The names of the
        metrics, and what is `Figures.headline`, are the same for all tasks of a distribution."""

    def tasks_at_once(self, tasks: TaskDistribution) -> int:
        """How many tasks are measured side by side: by default each alone, as fits images on a
        CPU."""
        return 1

    def at_step(self, step: Int[Array, ""]) -> "Learnable":
        """What training step number `step` trains (from 0), where the meta-objective changes as
        training goes on. By default it does not."""
        return self

    def initialised(self, tasks: TaskDistribution, *, key: PRNGKeyArray) -> "Learnable":
        """Called once before the first step of training: estimate parameters from training tasks,
        where that needs no gradients. By default they stay as they are."""
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
        """How this learner's predictions are to be read in a task with this likelihood: by default
        by that likelihood. A learner that answers with a mixture, or with an interval, gives a
        likelihood of its own, in which a prediction may have another number of outputs."""
        return likelihood

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """The meta-objective on one task, and figures to watch: by default the query loss of
        the adapted predictor, -1/|D_ts| Σ log p(y | f_ω(D_tr)(x)), as `answers` reads it."""
        predictions = self.predictions(task, key=key)
        answers = self.answers(task.likelihood)
        loss = answers.mean_loss(predictions, task.query.y)
        return loss, answers.metrics(predictions, task.query.y)

    def predictions(self, task: Episode, *, key: PRNGKeyArray) -> Float[Array, "n size"]:
        """Predict the queries of a task after adapting to its support set, or each in its turn
        where the task says so. `answers` says how to read the predictions."""
        if task.in_turn:
            return self.in_turn(task.query, task.likelihood, key=key)
        return self.adapt(task.support, task.likelihood, key=key)(task.query.x)

    def figures(self, task: Episode, *, key: PRNGKeyArray) -> Figures:
        """Those of the predictions for the queries, and their calibration. A figure is missing
        where any predictions would miss it; where these are no numbers, it is the worst there
        is."""
        return self.figures_of(self.predictions(task, key=key), task)

    def figures_of(self, predictions: Float[Array, "n size"], task: Episode) -> Figures:
        """The `figures` of predictions that have been made for the queries of a task."""
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

    # Promises: the contract suite holds a learner to each.

    @property
    def transductive(self) -> bool:
        """Whether the prediction for one query may depend on the other queries. By default it does
        where they are normalised by their own statistics."""
        return self.normalised_by == "batch"

    @property
    def uses_unlabelled(self) -> bool:
        """Whether predictions depend on the inputs of unlabelled support examples. By default they
        do where the support set is normalised by its own statistics."""
        return self.normalised_by in ("batch", "support")

    @property
    def order_matters(self) -> bool:
        """Whether predictions depend on the order of the support examples."""
        return False

    @property
    def labels_are_names(self) -> bool:
        """Whether other names for the classes give the same predictions under these names. False
        where a label has parameters of its own: then these have to be renamed too."""
        return True

    @property
    def absent_last(self) -> bool:
        """Whether a class without a labelled example is put behind the others
        (`likelihood.absent_last`). False where parameters give each class its logit."""
        return True

    @property
    def has_slope(self) -> bool:
        """Whether the gradient of `loss` by back-propagation is its slope. False where terms are
        left out (first-order gradients), or replaced by those of a relaxation."""
        return True


class AskingLearner(Learner):
    """A learner that can choose which unlabelled support example to ask about."""

    @abc.abstractmethod
    def acquire(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, " n"]:
        """How much it wants to know the label of each support example: the unlabelled one with
        the highest number is asked about. Those of labelled examples do not count."""
