"""Targets that are real vectors, with Gaussian noise around a predicted mean."""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float

from quickstudy.likelihood.likelihood import CALIBRATION_BINS, Likelihood


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
