"""The interface of likelihoods: the loss L of a task T = (D, L).

A likelihood turns the outputs of a predictor into a distribution over targets. Learners adapt and
are trained on its negative logarithm; evaluation uses its metrics and its calibration."""

import abc
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

CALIBRATION_BINS = 15


class Likelihood(eqx.Module):
    """p(y | prediction). Final subclasses: `Categorical`, `Letters`, `Gaussian`,
    `HeteroscedasticGaussian` and `LogScaleGaussian`.

    Targets may be missing: examples without a label have no effect."""

    size: eqx.AbstractVar[int]
    """The number of network outputs for one prediction."""

    headline: ClassVar[str]
    """The metric that chooses between models, one of those in `metrics`."""

    higher_is_better: ClassVar[bool]

    @abc.abstractmethod
    def labelled(self, y: Array) -> Bool[Array, " n"]:
        """Return whether each example has a label: no label is -1 for classes and words, NaN for
        numbers."""

    @abc.abstractmethod
    def encode(self, y: Array) -> Float[Array, "n k"]:
        """Encode targets as numbers for a network, zeros where there is no label."""

    @abc.abstractmethod
    def negative_log_likelihood(
        self, prediction: Float[Array, "n size"], y: Array
    ) -> Float[Array, " n"]:
        """Compute -log p(y_i | prediction_i), in nats, for each example; 0 where there is no
        label."""

    def mean_loss(self, prediction: Float[Array, "n size"], y: Array) -> Float[Array, ""]:
        """Compute the mean of `negative_log_likelihood` over the labelled examples."""
        return self.mean(self.negative_log_likelihood(prediction, y), y)

    def mean_deviance(self, prediction: Float[Array, "n size"], y: Array) -> Float[Array, ""]:
        """Compute the mean of `deviance` over the labelled examples."""
        return self.mean(self.deviance(prediction, y), y)

    def mean(self, each: Float[Array, " n"], y: Array) -> Float[Array, ""]:
        """Average numbers over the labelled examples; the numbers must be 0 where there is no
        label."""
        return jnp.sum(each) / jnp.maximum(jnp.sum(self.labelled(y)), 1)

    @abc.abstractmethod
    def deviance(self, prediction: Float[Array, "n size"], y: Array) -> Float[Array, " n"]:
        """Compute 2 log p(y_i | ŷ_i) - 2 log p(y_i | prediction_i) for each example, where ŷ_i is
        the best possible prediction (Nelder and Wedderburn 1972); 0 where there is no label. It is
        a loss without an additive constant: never negative, and 0 only for the best prediction.

        Raises `ValueError` where there is no best prediction."""

    @abc.abstractmethod
    def metrics(self, prediction: Float[Array, "n size"], y: Array) -> dict[str, Float[Array, ""]]:
        """Compute metrics for one task, each a mean over its labelled examples."""

    @abc.abstractmethod
    def calibration(self, prediction: Float[Array, "n size"], y: Array) -> Float[Array, "bins 3"]:
        """Compute sums for a reliability diagram, which add up over tasks: for each of
        `CALIBRATION_BINS` bins, (number of claims, sum of their confidences, number of true
        claims)."""
