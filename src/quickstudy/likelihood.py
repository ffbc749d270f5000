"""The loss half of a task T = (D, L): how well predictions explain targets.

A likelihood turns the outputs of a predictor into a distribution over targets. Learners adapt
and are trained on its negative logarithm; evaluation reads its metrics and its calibration.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int

CALIBRATION_BINS = 15


class Likelihood(eqx.Module):
    """p(y | prediction). Final subclasses: `Categorical`, `Gaussian`."""

    size: eqx.AbstractVar[int]
    """How many outputs a network needs for one prediction."""

    headline: ClassVar[str]
    """The metric that chooses between models, one of those in `metrics`."""

    higher_is_better: ClassVar[bool]

    @abc.abstractmethod
    def negative_log_likelihood(
        self, prediction: Float[Array, "n size"], y: Array
    ) -> Float[Array, " n"]:
        """-log p(y_i | prediction_i), in nats, for each example."""

    @abc.abstractmethod
    def mean_loss(self, prediction: Float[Array, "n size"], y: Array) -> Float[Array, ""]:
        """The mean of `negative_log_likelihood` over the labelled examples."""

    @abc.abstractmethod
    def metrics(self, prediction: Float[Array, "n size"], y: Array) -> dict[str, Float[Array, ""]]:
        """Figures for one task, each a mean over its examples."""

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

    def negative_log_likelihood(
        self, prediction: Float[Array, "n size"], y: Int[Array, " n"]
    ) -> Float[Array, " n"]:
        if prediction.shape[-1] != self.size:
            raise ValueError(
                f"predictions have {prediction.shape[-1]} logits, the task has {self.size} classes"
            )
        log_p = jax.nn.log_softmax(prediction)
        picked = jnp.take_along_axis(log_p, jnp.maximum(y, 0)[:, None], axis=-1)[:, 0]
        return jnp.where(y >= 0, -picked, 0.0)

    def mean_loss(
        self, prediction: Float[Array, "n size"], y: Int[Array, " n"]
    ) -> Float[Array, ""]:
        total = jnp.sum(self.negative_log_likelihood(prediction, y))
        return total / jnp.maximum(jnp.sum(y >= 0), 1)

    def metrics(
        self, prediction: Float[Array, "n size"], y: Int[Array, " n"]
    ) -> dict[str, Float[Array, ""]]:
        labelled = y >= 0
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
        confidence = jnp.max(p, axis=-1)
        correct = jnp.argmax(p, axis=-1) == y
        bins = jnp.minimum(jnp.floor(confidence * CALIBRATION_BINS), CALIBRATION_BINS - 1)
        claims = jnp.stack([jnp.ones_like(confidence), confidence, correct], axis=-1)
        claims = jnp.where((y >= 0)[:, None], claims, 0.0)
        return jnp.zeros((CALIBRATION_BINS, 3)).at[bins.astype(int)].add(claims)


class Gaussian(Likelihood):
    """Real targets of `size` numbers with independent noise of standard deviation `scale`
    around the predicted mean:

        p(y | m) = Π_d N(y_d; m_d, scale²).

    With scale 1 the gradient of the loss is that of half the squared error.

    >>> Gaussian(1).metrics(jnp.array([[1.0], [3.0]]), jnp.array([[0.0], [0.0]]))["mse"]
    Array(5., dtype=float32)
    """

    size: int = eqx.field(static=True, default=1)
    scale: float = eqx.field(static=True, default=1.0)
    headline: ClassVar[str] = "mse"
    higher_is_better: ClassVar[bool] = False

    def negative_log_likelihood(
        self, prediction: Float[Array, "n size"], y: Float[Array, "n size"]
    ) -> Float[Array, " n"]:
        z = (y - prediction) / self.scale
        return jnp.sum(0.5 * z**2 + 0.5 * jnp.log(2 * jnp.pi * self.scale**2), axis=-1)

    def mean_loss(
        self, prediction: Float[Array, "n size"], y: Float[Array, "n size"]
    ) -> Float[Array, ""]:
        return jnp.mean(self.negative_log_likelihood(prediction, y))

    def metrics(
        self, prediction: Float[Array, "n size"], y: Float[Array, "n size"]
    ) -> dict[str, Float[Array, ""]]:
        return {
            "mse": jnp.mean((y - prediction) ** 2),
            "nll": self.mean_loss(prediction, y),
        }

    def calibration(
        self, prediction: Float[Array, "n size"], y: Float[Array, "n size"]
    ) -> Float[Array, "bins 3"]:
        """A claim is "the target lies in the central interval of probability p", its
        confidence p; every target is asked for each of the bins' midpoints p."""
        p = (jnp.arange(CALIBRATION_BINS) + 0.5) / CALIBRATION_BINS
        half_width = self.scale * ndtri(0.5 + p / 2)
        inside = jnp.abs(y - prediction)[..., None] <= half_width
        asked = jnp.full(CALIBRATION_BINS, float(y.size))
        return jnp.stack([asked, asked * p, jnp.sum(inside, axis=(0, 1))], axis=-1)
