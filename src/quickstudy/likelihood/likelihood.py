"""What a likelihood is: the loss half of a task T = (D, L), by which predictions explain targets.

It turns the outputs of a predictor into a distribution over targets. Learners adapt and are trained
on its negative logarithm; evaluation reads its metrics and its calibration.
"""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

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
