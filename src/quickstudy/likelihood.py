"""The loss half of a task T = (D, L): how well predictions explain targets.

A likelihood turns the outputs of a predictor into a distribution over targets. Learners adapt
and are trained on its negative logarithm; evaluation reads its metrics and its calibration.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import entr, ndtri
from jaxtyping import Array, Bool, Float, Int

CALIBRATION_BINS = 15


class Likelihood(eqx.Module):
    """p(y | prediction). Final subclasses: `Categorical`, `Letters`, `Gaussian`,
    `HeteroscedasticGaussian` and `LogScaleGaussian`.

    Targets may be missing: examples without a label count towards nothing.
    """

    size: eqx.AbstractVar[int]
    """How many outputs a network needs for one prediction."""

    headline: ClassVar[str]
    """The metric that chooses between models, one of those in `metrics`."""

    higher_is_better: ClassVar[bool]

    @abc.abstractmethod
    def labelled(self, y: Array) -> Bool[Array, " n"]:
        """Which examples have a label: -1 is none for classes and words, NaN for numbers."""

    @abc.abstractmethod
    def encode(self, y: Array) -> Float[Array, "n k"]:
        """Targets as numbers that a network can read, zeros where there is no label."""

    @abc.abstractmethod
    def negative_log_likelihood(
        self, prediction: Float[Array, "n size"], y: Array
    ) -> Float[Array, " n"]:
        """-log p(y_i | prediction_i), in nats, for each example; 0 where there is no label."""

    def mean_loss(self, prediction: Float[Array, "n size"], y: Array) -> Float[Array, ""]:
        """The mean of `negative_log_likelihood` over the labelled examples."""
        return self.mean(self.negative_log_likelihood(prediction, y), y)

    def mean_deviance(self, prediction: Float[Array, "n size"], y: Array) -> Float[Array, ""]:
        """The mean of `deviance` over the labelled examples."""
        return self.mean(self.deviance(prediction, y), y)

    def mean(self, each: Float[Array, " n"], y: Array) -> Float[Array, ""]:
        """The mean over the labelled examples of numbers that are 0 where there is no label."""
        return jnp.sum(each) / jnp.maximum(jnp.sum(self.labelled(y)), 1)

    @abc.abstractmethod
    def deviance(self, prediction: Float[Array, "n size"], y: Array) -> Float[Array, " n"]:
        """2 log p(y_i | ŷ_i) - 2 log p(y_i | prediction_i) for each example, where ŷ_i is the best
        possible prediction (Nelder and Wedderburn 1972); 0 where there is no label. It is a loss
        without an additive constant: never negative, and 0 for the best prediction alone.

        Raises `ValueError` where no prediction is the best.
        """

    @abc.abstractmethod
    def metrics(self, prediction: Float[Array, "n size"], y: Array) -> dict[str, Float[Array, ""]]:
        """Figures for one task, each a mean over its labelled examples."""

    @abc.abstractmethod
    def calibration(self, prediction: Float[Array, "n size"], y: Array) -> Float[Array, "bins 3"]:
        """Sums for a reliability diagram, which add up over tasks: for each of
        `CALIBRATION_BINS` bins, (number of claims, sum of the confidence claimed, number of
        claims that came true)."""


class Categorical(Likelihood):
    """One of `size` classes. A prediction is a vector of logits:

        p(y = k | z) = exp(z_k) / Σ_j exp(z_j).

    Labels are integers from 0 to `size` - 1; -1 marks an unlabelled example, as in
    scikit-learn, and unlabelled examples do not count towards the loss.

    >>> Categorical(2).metrics(jnp.array([[2.0, 0.0], [2.0, 0.0]]), jnp.array([0, 1]))["accuracy"]
    Array(0.5, dtype=float32)
    """

    size: int = eqx.field(static=True)
    headline: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

    def labelled(self, y: Int[Array, " n"]) -> Bool[Array, " n"]:
        return y >= 0

    def negative_log_likelihood(
        self, prediction: Float[Array, "n size"], y: Int[Array, " n"]
    ) -> Float[Array, " n"]:
        if prediction.shape[-1] != self.size:
            raise ValueError(
                f"predictions have {prediction.shape[-1]} logits, the task has {self.size} classes"
            )
        log_p = jax.nn.log_softmax(prediction)
        picked = jnp.take_along_axis(log_p, jnp.maximum(y, 0)[:, None], axis=-1)[:, 0]
        return jnp.where(self.labelled(y), -picked, 0.0)

    def deviance(
        self, prediction: Float[Array, "n size"], y: Int[Array, " n"]
    ) -> Float[Array, " n"]:
        """-2 log p(y | z): the best prediction has probability 1."""
        return 2 * self.negative_log_likelihood(prediction, y)

    def metrics(
        self, prediction: Float[Array, "n size"], y: Int[Array, " n"]
    ) -> dict[str, Float[Array, ""]]:
        labelled = self.labelled(y)
        correct = jnp.argmax(prediction, axis=-1) == y
        return {
            "accuracy": jnp.sum(correct & labelled) / jnp.maximum(jnp.sum(labelled), 1),
            "nll": self.mean_loss(prediction, y),
        }

    def calibration(
        self, prediction: Float[Array, "n size"], y: Int[Array, " n"]
    ) -> Float[Array, "bins 3"]:
        """A claim is "the most probable class is right", its confidence that class's
        probability; bins cut [0, 1] evenly (Guo et al. 2017, section 2)."""
        p = jax.nn.softmax(prediction)
        return claims(jnp.max(p, axis=-1), jnp.argmax(p, axis=-1) == y, self.labelled(y))

    def encode(self, y: Int[Array, " n"]) -> Float[Array, "n size"]:
        """One-hot vectors, zeros where there is no label: labels that a network can read."""
        return jax.nn.one_hot(y, self.size)

    def seen(self, y: Int[Array, " n"]) -> Bool[Array, " size"]:
        """Which classes have a labelled example among the labels `y`.

        >>> Categorical(3).seen(jnp.array([2, -1, 0]))
        Array([ True, False,  True], dtype=bool)
        """
        return jnp.any(y[:, None] == jnp.arange(self.size), axis=0)


def absent_last(
    logits: Float[Array, "*n classes"], seen: Bool[Array, "*#n classes"]
) -> Float[Array, "*n classes"]:
    """Put the classes without a labelled example behind those that have one, `seen`:

        z_k ← min_{j seen} z_j - 1     for each k that is not seen; all are 0 where none is.

    This is what a learner says of such a class where it computes the logits of a class from the
    examples of that class. The result is finite whatever `logits` holds for a class that is not
    seen, such a class is never the answer, and z + c gives the result + c.

    >>> absent_last(jnp.array([[3.0, -jnp.inf, 1.0]]), jnp.array([True, False, True]))
    Array([[3., 0., 1.]], dtype=float32)
    """
    least = jnp.min(logits, axis=-1, keepdims=True, where=seen, initial=jnp.inf)
    behind = jnp.where(jnp.any(seen, axis=-1, keepdims=True), least - 1, 0.0)
    return jnp.where(seen, logits, behind)


def entropy(logits: Float[Array, "*n classes"]) -> Float[Array, "*n"]:
    """How unsure an answer is: -Σ_k p_k log p_k, in nats."""
    return jnp.sum(entr(jax.nn.softmax(logits)), axis=-1)


def claims(
    confidence: Float[Array, " n"], correct: Bool[Array, " n"], counted: Bool[Array, " n"]
) -> Float[Array, "bins 3"]:
    """The sums of `Likelihood.calibration` over the claims that are counted."""
    bins = jnp.minimum(jnp.floor(confidence * CALIBRATION_BINS), CALIBRATION_BINS - 1)
    each = jnp.stack([jnp.ones_like(confidence), confidence, correct], axis=-1)
    each = jnp.where(counted[:, None], each, 0.0)
    return jnp.zeros((CALIBRATION_BINS, 3)).at[bins.astype(int)].add(each)


LETTERS = 5
"""In a label, and in the alphabet that it is spelt in."""


class Letters(Likelihood):
    """A class is called by a word of five letters, each one of five (Santoro et al. 2016, section
    4.1.2). A prediction is five vectors of logits, one after the other, for letters that are
    independent given it:

        p(y | z) = Π_l exp(z_{l, y_l}) / Σ_j exp(z_{l, j}).

    Labels are five integers from 0 to 4, all -1 where there is none. A prediction is right if all
    five letters are.

    >>> Letters().encode(jnp.asarray([[0, 4, 2, 2, 1]])).shape
    (1, 25)
    """

    size: int = eqx.field(static=True, default=LETTERS**2)
    headline: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

    def of_letters(self, prediction: Float[Array, "n size"]) -> Float[Array, "n letters letters"]:
        """log p of each letter at each place."""
        return jax.nn.log_softmax(prediction.reshape(-1, LETTERS, LETTERS))

    def labelled(self, y: Int[Array, "n letters"]) -> Bool[Array, " n"]:
        return y[:, 0] >= 0

    def negative_log_likelihood(
        self, prediction: Float[Array, "n size"], y: Int[Array, "n letters"]
    ) -> Float[Array, " n"]:
        log_p = self.of_letters(prediction)
        picked = jnp.take_along_axis(log_p, jnp.maximum(y, 0)[..., None], axis=-1)[..., 0]
        return jnp.where(self.labelled(y), -jnp.sum(picked, -1), 0.0)

    def deviance(
        self, prediction: Float[Array, "n size"], y: Int[Array, "n letters"]
    ) -> Float[Array, " n"]:
        """-2 log p(y | z): the best prediction has probability 1."""
        return 2 * self.negative_log_likelihood(prediction, y)

    def metrics(
        self, prediction: Float[Array, "n size"], y: Int[Array, "n letters"]
    ) -> dict[str, Float[Array, ""]]:
        labelled = self.labelled(y)
        correct = jnp.all(jnp.argmax(self.of_letters(prediction), -1) == y, -1)
        return {
            "accuracy": jnp.sum(correct & labelled) / jnp.maximum(jnp.sum(labelled), 1),
            "nll": self.mean_loss(prediction, y),
        }

    def calibration(
        self, prediction: Float[Array, "n size"], y: Int[Array, "n letters"]
    ) -> Float[Array, "bins 3"]:
        """A claim is "the most probable word is right"."""
        log_p = self.of_letters(prediction)
        correct = jnp.all(jnp.argmax(log_p, -1) == y, -1)
        return claims(jnp.exp(jnp.sum(jnp.max(log_p, -1), -1)), correct, self.labelled(y))

    def encode(self, y: Int[Array, "n letters"]) -> Float[Array, "n size"]:
        """Five one-hot vectors, one after the other; zeros where there is no label."""
        return jax.nn.one_hot(y, LETTERS).reshape(-1, self.size)


class RealTargets(Likelihood):
    """Real vectors y with independent Gaussian noise around a mean m:

        p(y | m, s) = Π_d N(y_d; m_d, s_d²).

    NaN marks a number that is missing: it counts towards nothing. An example is unlabelled where
    all numbers of its target are missing.
    """

    higher_is_better: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def targets(self) -> int:
        """How many numbers a target has."""

    @abc.abstractmethod
    def moments(
        self, prediction: Float[Array, "n size"]
    ) -> tuple[Float[Array, "n targets"], Float[Array, "n targets"]]:
        """The mean m and the scale s that a prediction stands for."""

    def labelled(self, y: Float[Array, "n targets"]) -> Bool[Array, " n"]:
        return jnp.any(~jnp.isnan(y), axis=-1)

    def encode(self, y: Float[Array, "n targets"]) -> Float[Array, "n targets"]:
        """The numbers themselves, zeros where there are none."""
        return jnp.where(jnp.isnan(y), 0.0, y)

    def errors(
        self, prediction: Float[Array, "n size"], y: Float[Array, "n targets"]
    ) -> tuple[Float[Array, "n targets"], Float[Array, "n targets"]]:
        """y - m, 0 where a number is missing, and s."""
        mean, scale = self.moments(prediction)
        return jnp.where(jnp.isnan(y), 0.0, self.encode(y) - mean), scale

    def negative_log_likelihood(
        self, prediction: Float[Array, "n size"], y: Float[Array, "n targets"]
    ) -> Float[Array, " n"]:
        error, scale = self.errors(prediction, y)
        each = 0.5 * (error / scale) ** 2 + 0.5 * jnp.log(2 * jnp.pi * scale**2)
        return jnp.sum(jnp.where(jnp.isnan(y), 0.0, each), axis=-1)

    def metrics(
        self, prediction: Float[Array, "n size"], y: Float[Array, "n targets"]
    ) -> dict[str, Float[Array, ""]]:
        error, _ = self.errors(prediction, y)
        count = jnp.maximum(jnp.sum(~jnp.isnan(y)), 1)
        return {"mse": jnp.sum(error**2) / count, "nll": self.mean_loss(prediction, y)}

    def calibration(
        self, prediction: Float[Array, "n size"], y: Float[Array, "n targets"]
    ) -> Float[Array, "bins 3"]:
        """A claim is "the target lies in the central interval of probability p", its
        confidence p; every target is asked for each of the bins' midpoints p."""
        p = (jnp.arange(CALIBRATION_BINS) + 0.5) / CALIBRATION_BINS
        error, scale = self.errors(prediction, y)
        inside = jnp.abs(error)[..., None] <= scale[..., None] * ndtri(0.5 + p / 2)
        inside &= ~jnp.isnan(y)[..., None]
        asked = jnp.full(CALIBRATION_BINS, 1.0) * jnp.sum(~jnp.isnan(y))
        return jnp.stack([asked, asked * p, jnp.sum(inside, axis=(0, 1))], axis=-1)


class Gaussian(RealTargets):
    """Noise of one standard deviation `scale` around the mean that is predicted, `size` numbers.

    With scale 1 the gradient of the loss is that of half the squared error.

    >>> Gaussian(1).metrics(jnp.array([[1.0], [3.0]]), jnp.array([[0.0], [0.0]]))["mse"]
    Array(5., dtype=float32)
    """

    size: int = eqx.field(static=True, default=1)
    scale: float = eqx.field(static=True, default=1.0)
    headline: ClassVar[str] = "mse"

    @property
    def targets(self) -> int:
        return self.size

    def moments(
        self, prediction: Float[Array, "n size"]
    ) -> tuple[Float[Array, "n targets"], Float[Array, "n targets"]]:
        return prediction, jnp.full_like(prediction, self.scale)

    def deviance(
        self, prediction: Float[Array, "n size"], y: Float[Array, "n targets"]
    ) -> Float[Array, " n"]:
        """|y - m|² / scale²."""
        error, scale = self.errors(prediction, y)
        return jnp.sum((error / scale) ** 2, axis=-1)


class MeanAndScale(RealTargets):
    """Noise whose scale is predicted too: of the `size` = 2 · targets numbers of a prediction the
    first half are means, and the others say how sure of them it is."""

    @property
    def targets(self) -> int:
        return self.size // 2

    def deviance(
        self, prediction: Float[Array, "n size"], y: Float[Array, "n targets"]
    ) -> Float[Array, " n"]:
        """Raises `ValueError`: the smaller the predicted scale around a right mean, the better,
        down to a floor of our choice or without end."""
        raise ValueError("no prediction is the best where the noise's scale is predicted too")


class HeteroscedasticGaussian(MeanAndScale):
    """Noise whose scale is predicted too: of the `size` = 2 · targets numbers of a prediction the
    first half are means and the others, a, say how sure of them it is:

        s = floor + (1 - floor) log(1 + exp(a))            (Garnelo et al. 2018, whose floor is .1).

    It is chosen by the negative log-likelihood, lower is better: squared errors do not see s.

    >>> HeteroscedasticGaussian(2).moments(jnp.array([[3.0, 0.0]]))
    (Array([[3.]], dtype=float32), Array([[0.7238325]], dtype=float32))
    """

    size: int = eqx.field(static=True, default=2)
    floor: float = eqx.field(static=True, default=0.1)
    """The smallest scale."""
    headline: ClassVar[str] = "nll"

    def moments(
        self, prediction: Float[Array, "n size"]
    ) -> tuple[Float[Array, "n targets"], Float[Array, "n targets"]]:
        mean, a = jnp.split(prediction, 2, axis=-1)
        return mean, self.floor + (1 - self.floor) * jax.nn.softplus(a)


class LogScaleGaussian(MeanAndScale):
    """Noise whose scale is predicted without a floor: of the `size` = 2 · targets numbers of a
    prediction the first half are means and the others are log s. For learners that compute the
    scale; which metric counts is that of the tasks, `headline`.

    >>> LogScaleGaussian(size=2).moments(jnp.array([[3.0, 0.0]]))
    (Array([[3.]], dtype=float32), Array([[1.]], dtype=float32))
    """

    size: int = eqx.field(static=True, default=2)
    headline: str = eqx.field(static=True, default="mse")  # pyright: ignore

    def moments(
        self, prediction: Float[Array, "n size"]
    ) -> tuple[Float[Array, "n targets"], Float[Array, "n targets"]]:
        mean, log_scale = jnp.split(prediction, 2, axis=-1)
        return mean, jnp.exp(log_scale)


def with_log_scale(likelihood: Likelihood) -> Likelihood:
    """The likelihood of a learner that gives a mean and log s for each number of a target, chosen
    by the metric of the tasks; classes are read as they are."""
    if not isinstance(likelihood, RealTargets):
        return likelihood
    return LogScaleGaussian(size=2 * likelihood.targets, headline=likelihood.headline)


def complete(y: Array, likelihood: Likelihood) -> Bool[Array, " n"]:
    """Which examples have all numbers of their target."""
    if isinstance(likelihood, RealTargets):
        return ~jnp.any(jnp.isnan(y), axis=-1)
    return likelihood.labelled(y)
