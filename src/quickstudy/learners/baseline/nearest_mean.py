"""Nearest class mean on raw inputs: a prototypical network without a network.

    c_k = 1/|S_k| Σ_{(x, y) ∈ S_k} x
    p(y = k | x) ∝ exp(-‖x - c_k‖² / (2 σ²)),    σ² = 1/|S| Σ_{(x, y) ∈ S} ‖x - c_y‖² / ν

The most probable class does not depend on σ², but the probabilities do. σ² is the mean squared
distance of an example from its class mean, divided by ν = 1 - K/n, because the mean is taken of the
same examples. Where every class has one example, σ² is half the mean squared distance between the
means."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from quickstudy.learner import Learner, Predictor
from quickstudy.learners.distances import class_means, squared_distances
from quickstudy.likelihood import Categorical, Likelihood, absent_last
from quickstudy.task import Examples


class Means(Predictor):
    """The mean of each class of a support set."""

    means: Float[Array, "classes d"]
    seen: Bool[Array, " classes"]
    variance: Float[Array, ""]

    def __call__(self, x: Float[Array, "m ..."]) -> Float[Array, "m classes"]:
        distances = squared_distances(x.reshape(x.shape[0], -1), self.means)
        return absent_last(-distances / (2 * self.variance), self.seen)


class NearestMean(Learner):
    """A learner without parameters and training.

    >>> NearestMean().adapt(support, Categorical(5), key=key)(queries).shape
    (75, 5)
    """

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Means:
        if not isinstance(likelihood, Categorical):
            raise ValueError("the nearest class mean classifies; these targets are not classes")
        x = support.x.reshape(len(support.y), -1)
        seen = likelihood.seen(support.y)
        means = class_means(x, support.y, likelihood.size)
        return Means(means, seen, spread(x, support.y, means, seen))


def spread(
    x: Float[Array, "n d"],
    y: Array,
    means: Float[Array, "classes d"],
    seen: Bool[Array, " classes"],
) -> Float[Array, ""]:
    """σ² of the module's equation, at least 1e-6."""
    n, classes = jnp.sum(y >= 0), jnp.sum(seen)
    own = jnp.sum((x - means[jnp.maximum(y, 0)]) ** 2, -1)
    within = jnp.sum(jnp.where(y >= 0, own, 0)) / jnp.maximum(n - classes, 1)
    both = seen[:, None] & seen[None, :]
    apart = jnp.sum(jnp.where(both, squared_distances(means, means), 0))
    between = apart / jnp.maximum(2 * classes * (classes - 1), 1)
    return jnp.maximum(jnp.where(n > classes, within, between), 1e-6)
