"""Ridge regression on raw inputs, in closed form: a linear model of one support set.

Targets Y are real vectors, or one-hot vectors of classes. With x̄ and ȳ the means over the n
labelled examples, and the rows of X and Y relative to them:

    W = Xᵀ α,   α = (X Xᵀ + λ I)⁻¹ Y,   ŷ(x) = ȳ + Wᵀ (x - x̄)

(Hoerl and Kennard 1970, in its dual form.) The penalty λ is the value of a grid with the least
error when each example is left out in turn. These errors have a closed form without another fit
(Allen 1974):

    y_i - ŷ_{-i}(x_i) = (y_i - ŷ(x_i)) / (1 - H_ii),   H = 1/n + X Xᵀ (X Xᵀ + λ I)⁻¹

The variance σ² of these errors is the variance of the prediction. Where targets are classes, the
prediction is a Gaussian around the one-hot vector of the true class: p(y = k | x) ∝ exp(ŷ_k(x) /
σ²)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from quickstudy.learner import Learner, Predictor
from quickstudy.learners.baseline.regression import LinearGaussian
from quickstudy.likelihood import (
    Categorical,
    Likelihood,
    RealTargets,
    absent_last,
    complete,
    with_log_scale,
)
from quickstudy.task import Examples

PENALTIES = tuple(10.0**power for power in range(-4, 4))
"""The grid of λ, in units of the mean of the eigenvalues of X Xᵀ."""


class Linear(Predictor):
    """ŷ(x) = x W + b, in units of the likelihood of its targets."""

    weight: Float[Array, "d classes"]
    bias: Float[Array, " classes"]
    seen: Bool[Array, " classes"]

    def __call__(self, x: Float[Array, "m ..."]) -> Float[Array, "m classes"]:
        return absent_last(x.reshape(x.shape[0], -1) @ self.weight + self.bias, self.seen)


class Ridge(Learner):
    """A learner without parameters and training.

    >>> Ridge().adapt(support, Categorical(5), key=key)(queries).shape
    (75, 5)
    """

    penalties: tuple[float, ...] = eqx.field(static=True, default=PENALTIES)

    def answers(self, likelihood: Likelihood) -> Likelihood:
        return with_log_scale(likelihood)

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Linear | LinearGaussian:
        if not isinstance(likelihood, Categorical | RealTargets):
            raise ValueError("ridge regression takes classes or real targets")
        counted = complete(support.y, likelihood)
        weight, bias, variance = solved(
            support.x.reshape(len(support.y), -1),
            likelihood.encode(support.y),
            counted,
            jnp.asarray(self.penalties),
        )
        if not isinstance(likelihood, Categorical):
            one = jnp.sum(counted) < 2  # whose errors say nothing
            return LinearGaussian(weight, bias, jnp.where(one, 1.0, variance))
        scale = 1 / jnp.maximum(variance, 1e-6)
        return Linear(weight * scale, bias * scale, likelihood.seen(support.y))


def solved(
    x: Float[Array, "n d"],
    y: Float[Array, "n k"],
    counted: Bool[Array, " n"],
    penalties: Float[Array, " p"],
) -> tuple[Float[Array, "d k"], Float[Array, " k"], Float[Array, ""]]:
    """Return the weights W, the constant ȳ - x̄ᵀ W, and the variance σ² of the leave-one-out
    errors, for the examples that are `counted`."""
    w = counted[:, None]
    n = jnp.maximum(jnp.sum(counted), 1)
    x_mean, y_mean = jnp.sum(x * w, 0) / n, jnp.sum(y * w, 0) / n
    x, y = (x - x_mean) * w, (y - y_mean) * w  # the others are zeros, and change nothing
    eigenvalues, vectors = jnp.linalg.eigh(x @ x.T)
    eigenvalues = jnp.maximum(eigenvalues, 0)
    unit = jnp.maximum(jnp.sum(eigenvalues) / n, 1e-12)
    rotated = vectors.T @ y

    def left_out(penalty: Float[Array, ""]) -> Float[Array, ""]:
        kept = eigenvalues / (eigenvalues + penalty * unit)
        residual = y - vectors @ (kept[:, None] * rotated)
        leverage = 1 / n + jnp.sum(vectors**2 * kept, -1)
        errors = residual / jnp.maximum(1 - leverage, 1e-6)[:, None]
        return jnp.sum(errors**2 * w) / (n * y.shape[-1])

    errors = jax.vmap(left_out)(penalties)
    best = jnp.argmin(errors)
    alpha = vectors @ (rotated / (eigenvalues + penalties[best] * unit)[:, None])
    weight = x.T @ alpha
    return weight, y_mean - x_mean @ weight, errors[best]
