"""Distributions of vectors, for learners that infer one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class Normal(NamedTuple):
    """Independent normal variables."""

    mean: Float[Array, "*n d"]
    log_variance: Float[Array, "*n d"]

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*n d"]:
        """mean + scale · ε: differentiable in both."""
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(0.5 * self.log_variance) * noise


def divergence(p: Normal, q: Normal) -> Float[Array, "*n"]:
    """KL(p ‖ q) = ½ Σ_d log(σ_q² / σ_p²) + (σ_p² + (μ_p - μ_q)²) / σ_q² - 1.

    >>> one = Normal(jnp.ones(3), jnp.zeros(3))
    >>> divergence(one, Normal(jnp.zeros(3), jnp.zeros(3)))
    Array(1.5, dtype=float32)
    """
    difference = p.log_variance - q.log_variance
    moved = (p.mean - q.mean) ** 2 * jnp.exp(-q.log_variance)
    return 0.5 * jnp.sum(jnp.exp(difference) + moved - 1 - difference, axis=-1)
