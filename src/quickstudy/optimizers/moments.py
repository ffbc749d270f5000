"""What hand-made features of optimisers are computed from: running means of gradients and of their
squares, at several decays each, and numbers relative to their tensor.

    m_t = β m_{t-1} + (1 - β) g_t,     v_t = β v_{t-1} + (1 - β) g_t²
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

TINY = 1e-30
"""What mean squares are no smaller than, so that there is always something to divide by."""
NEAR_NOTHING = 1e-4
"""The root mean square of parameters below which a tensor counts as zero."""


class Moments(NamedTuple):
    """Of one tensor, or a tree of these for each tensor."""

    first: PyTree[Float[Array, "decays ..."]]
    """m, one for each decay along the first axis."""
    second: PyTree[Float[Array, "decays ..."]]
    """v"""


def no_moments(parameters: PyTree, first: int, second: int) -> Moments:
    """Of nothing yet: m and v at so many decays."""
    dtype = jnp.result_type(float)

    def zeros(count: int) -> PyTree:
        return jax.tree.map(lambda x: jnp.zeros((count, *x.shape), dtype), parameters)

    return Moments(zeros(first), zeros(second))


def running(mean: Float[Array, "decays ..."], x: Float[Array, "..."], decays: Sequence[float]):
    """The means with one more value taken in."""
    beta = jnp.asarray(decays).reshape(-1, *[1] * x.ndim)
    return beta * mean + (1 - beta) * x


def corrected(
    mean: Float[Array, "decays ..."], steps: Int[Array, ""], decays: Sequence[float]
) -> Float[Array, "decays ..."]:
    """The means without what they were at the start, m / (1 - βᵗ), after so many steps (Kingma and
    Ba 2015, algorithm 1)."""
    share = 1 - jnp.asarray(decays) ** steps
    return mean / share.reshape(-1, *[1] * (mean.ndim - 1))


def mean_square(x: Float[Array, "..."], floor: float = TINY) -> Float[Array, ""]:
    """Over all coordinates, and at least `floor`."""
    return jnp.maximum(jnp.mean(x**2), floor)


def normalised(x: Float[Array, "..."], floor: float = TINY) -> Float[Array, "..."]:
    """x with a mean square of 1, unless that was below `floor`."""
    return x * jax.lax.rsqrt(mean_square(x, floor))


def clock(steps: Int[Array, ""], times: Sequence[float]) -> Float[Array, " times"]:
    """tanh(t/τ - 1) for each time τ: how late it is, at several scales (Metz et al. 2020)."""
    return jnp.tanh(steps / jnp.asarray(times) - 1)
