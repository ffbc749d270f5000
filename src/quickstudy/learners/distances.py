"""Comparisons of feature vectors."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from quickstudy.likelihood import absent_last

Distance = Literal["euclidean", "cosine"]
"""Squared Euclidean, or by the cosine of the angle."""


def class_means(
    z: Float[Array, "n d"], y: Int[Array, " n"], classes: int
) -> Float[Array, "classes d"]:
    """Compute the mean of the rows of each class; rows labelled -1 have no class. A class without
    rows has the mean 0, which has no meaning: see `likelihood.absent_last`."""
    membership = jax.nn.one_hot(y, classes, dtype=z.dtype)
    return membership.T @ z / jnp.maximum(membership.sum(0), 1.0)[:, None]


def best_of_class(
    scores: Float[Array, "m n"], y: Int[Array, " n"], classes: int
) -> Float[Array, "m classes"]:
    """Take the best score among the columns of each class; columns labelled -1 have no class, and
    classes without columns come last (`likelihood.absent_last`)."""
    belongs = y[:, None] == jnp.arange(classes)
    best = jnp.max(jnp.where(belongs, scores[:, :, None], -jnp.inf), axis=1)
    return absent_last(best, jnp.any(belongs, axis=0))


def squared_distances(a: Float[Array, "n d"], b: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """‖a_i - b_j‖² = ‖a_i‖² - 2 a_i·b_j + ‖b_j‖²: one matrix product."""
    return jnp.sum(a**2, -1)[:, None] - 2 * a @ b.T + jnp.sum(b**2, -1)


def unit(z: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Scale rows to length 1."""
    return z * jax.lax.rsqrt(jnp.sum(z**2, -1, keepdims=True) + 1e-12)
