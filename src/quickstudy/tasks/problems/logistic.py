"""Logistic regression on random data:

    f(θ) = 1/n Σ_i log(1 + exp(-y_i x_i·θ)),     x_i ~ N(0, diag(s²)),  log s_j ~ N(0, 1)

with labels y_i ∈ {-1, 1} drawn from the model with a random θ*. Convex, and as ill-conditioned as
the scales s of the features.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.task import Optimizee, TaskDistribution


class Logistic(Optimizee):
    """One data set; every step uses all of it."""

    x: Float[Array, "n d"]
    y: Float[Array, " n"]

    def init(self, key: PRNGKeyArray) -> Float[Array, " d"]:
        return jax.random.normal(key, self.x.shape[1:])

    def loss(self, parameters: Float[Array, " d"], key: PRNGKeyArray) -> Float[Array, ""]:
        return jnp.mean(jax.nn.softplus(-self.y * (self.x @ parameters)))


class LogisticRegressions(TaskDistribution[Logistic]):
    """>>> problem = LogisticRegressions(dimensions=10).sample(key)"""

    dimensions: int = eqx.field(static=True, default=10)
    examples: int = eqx.field(static=True, default=100)

    def sample(self, key: PRNGKeyArray) -> Logistic:
        for_scales, for_x, for_theta, for_y = jax.random.split(key, 4)
        d = self.dimensions
        x = jax.random.normal(for_x, (self.examples, d))
        x = x * jnp.exp(jax.random.normal(for_scales, (d,)))
        positive = jax.random.bernoulli(
            for_y, jax.nn.sigmoid(x @ jax.random.normal(for_theta, (d,)))
        )
        return Logistic(x, jnp.where(positive, 1.0, -1.0))

    def protocol(self) -> dict[str, Any]:
        return {
            "problems": "logistic regression",
            "dimensions": self.dimensions,
            "examples": self.examples,
        }
