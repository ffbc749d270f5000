"""ALPaCA: Bayesian linear regression on learned features, whose prior is learned from many tasks
(Harrison, Sharma and Pavone, WAFR 2018, section 3).

In each task targets are linear in features φ(x), and the weights K of a task are drawn from a prior
that all tasks share:

    y = Kᵀ φ(x) + ε,   ε ~ N(0, σ² I),   K ~ N(K̄₀, σ² Λ₀⁻¹)   for each target

With the n examples of a support set, Φ (n, p) and Y, the posterior and the prediction are

    Λ = Φᵀ Φ + Λ₀,   K̄ = Λ⁻¹ (Φᵀ Y + Λ₀ K̄₀)
    y | x ~ N(K̄ᵀ φ(x), σ² (1 + φ(x)ᵀ Λ⁻¹ φ(x)))

and K̄₀, Λ₀, σ and the features are learned by the negative log-likelihood of the queries. Here Λ₀⁻¹
= L Lᵀ, and weights are K = K̄₀ + L U, so a direction in which tasks do not differ needs no infinite
precision:

    Z = Φ L,   A = I + Zᵀ Z,   Ū = A⁻¹ Zᵀ (Y - Φ K̄₀),   φᵀ Λ⁻¹ φ = zᵀ A⁻¹ z with z = Lᵀ φ

Features are a constant, the inputs themselves, and the features of a network: φ(x) = (1, x, h(x)).
At first the weights of the network's features are close to 0. So training starts from linear
regression, whose prior `initialised` estimates from the training tasks (`linear_prior.py`).

Where targets are classes, each class is a target, 1 for its examples and 0 for others, with the
same prior. The probability of a class is the density at its one-hot vector:
p(y = k | x) ∝ exp(ŷ_k(x) / σ²).

Differences from the paper: the constant and the inputs among the features, the initial prior, one
learned σ for all targets, and classes. An example with a missing number is ignored."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from quickstudy.learner import Learner, Predictor
from quickstudy.learners.bayesian.linear_prior import Prior, Regressions, estimated
from quickstudy.likelihood import (
    Categorical,
    Likelihood,
    absent_last,
    complete,
    with_log_scale,
)
from quickstudy.networks import Network
from quickstudy.task import Episode, Examples, TaskDistribution

START_TASKS = 256
"""The number of episodes from which `initialised` estimates the prior."""
SLIGHT = 1e-2
"""The initial standard deviation of the weights of the network's features."""


class Posterior(Predictor):
    """The distribution of the weights of a task, and the features."""

    learner: ALPaCA
    mean: Float[Array, "p k"]
    """K̄."""
    factor: Float[Array, "p p"]
    """W with Λ⁻¹ = W Wᵀ."""
    seen: Bool[Array, " k"] | None
    """Where targets are classes, whether each class has a labelled example."""

    def __call__(self, x: Float[Array, "m ..."]) -> Float[Array, "m size"]:
        phi, variance = self.learner.features(x), jnp.exp(2 * self.learner.log_noise)
        mean = phi @ self.mean
        if self.seen is not None:
            return absent_last(mean / variance, self.seen)
        variance = variance * (1 + jnp.sum((phi @ self.factor) ** 2, axis=1, keepdims=True))
        return jnp.concatenate([mean, jnp.broadcast_to(jnp.log(variance) / 2, mean.shape)], axis=1)


class ALPaCA(Learner):
    """A network, a prior over the weights of its features, and the noise.

    >>> learner = ALPaCA(MLP((3,), hidden=(32,), key=key), inputs=3)
    >>> support = Examples(jnp.zeros((5, 3)), jnp.zeros((5, 1)))
    >>> learner.adapt(support, Gaussian(1), key=key)(jnp.zeros((7, 3))).shape   # means, log scales
    (7, 2)
    """

    network: Network
    mean: Float[Array, "p targets"]
    """K̄₀."""
    factor: Float[Array, "p p"]
    """L; only its lower triangle is used."""
    log_noise: Float[Array, ""]
    """log σ."""

    def __init__(self, network: Network, inputs: int, targets: int = 1):
        """`inputs` and `targets` are numbers of columns; there is one target where targets are
        classes."""
        linear, learned = 1 + inputs, network.outputs
        self.network = network
        self.mean = jnp.zeros((linear + learned, targets))
        self.factor = jnp.diag(jnp.where(jnp.arange(linear + learned) < linear, 1.0, SLIGHT))
        self.log_noise = jnp.asarray(-0.5)

    def features(self, x: Float[Array, "n ..."]) -> Float[Array, "n p"]:
        """Compute φ(x): a constant, the inputs, and the network's features."""
        learned, _ = self.network(x)
        return jnp.concatenate([linear_features(x), learned], axis=1)

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Posterior:
        classifies = isinstance(likelihood, Categorical)
        targets = 1 if classifies else likelihood.encode(support.y).shape[1]
        if self.mean.shape[1] != targets:
            raise ValueError(
                f"this learner has a prior for {self.mean.shape[1]} numbers, a target here has "
                f"{targets}"
            )
        counted = complete(support.y, likelihood)[:, None]
        phi = jnp.where(counted, self.features(support.x), 0.0)
        y = jnp.where(counted, likelihood.encode(support.y), 0.0)
        factor = jnp.tril(self.factor)
        z = phi @ factor
        lower = jnp.linalg.cholesky(jnp.eye(z.shape[1]) + z.T @ z)  # of A
        half = solve_triangular(lower, z.T @ (y - phi @ self.mean), lower=True)
        mean = self.mean + factor @ solve_triangular(lower, half, lower=True, trans=1)
        of_covariance = solve_triangular(lower, factor.T, lower=True).T
        seen = likelihood.seen(support.y) if classifies else None
        return Posterior(self, mean, of_covariance, seen)

    def answers(self, likelihood: Likelihood) -> Likelihood:
        return with_log_scale(likelihood)

    def initialised(self, tasks: TaskDistribution[Episode], *, key: PRNGKeyArray) -> ALPaCA:
        """Estimate K̄₀, Λ₀ and σ for the constant and the inputs from training tasks, without the
        network's features."""

        def one(key: PRNGKeyArray) -> Regressions:
            task = tasks.sample(key)
            x = jnp.concatenate([task.support.x, task.query.x])
            y = jnp.concatenate([task.support.y, task.query.y])
            return Regressions(
                linear_features(x), task.likelihood.encode(y), complete(y, task.likelihood)
            )

        drawn = jax.vmap(one)(jax.random.split(key, START_TASKS))
        p = drawn.phi.shape[2]
        prior = estimated(drawn, Prior(self.mean[:p], self.factor[:p, :p], self.log_noise))
        return eqx.tree_at(
            lambda a: (a.mean, a.factor, a.log_noise),
            self,
            (
                self.mean.at[:p].set(prior.mean),
                self.factor.at[:p, :p].set(prior.factor),
                prior.log_noise,
            ),
        )


def linear_features(x: Float[Array, "n ..."]) -> Float[Array, "n d"]:
    """(1, x)."""
    return jnp.concatenate([jnp.ones((len(x), 1)), x.reshape(len(x), -1)], axis=1)
