"""Parts of the hand-made features of optimisers: all coordinates in one array, with the tensor of
each.

Running means of gradients and of their squares, at several decays each:

    m_t = β m_{t-1} + (1 - β) g_t,     v_t = β v_{t-1} + (1 - β) g_t²
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

TINY = 1e-30
"""The smallest mean square, against division by zero."""
NEAR_NOTHING = 1e-8
"""The mean square of parameters below which a tensor counts as zero."""


@dataclass(frozen=True)
class Tensors:
    """The map from the coordinates of a flattened tree to its leaves."""

    sizes: tuple[int, ...]

    @staticmethod
    def of(tree: PyTree) -> "Tensors":
        return Tensors(tuple(leaf.size for leaf in jax.tree.leaves(tree)))

    def split(self, x: Float[Array, "*rows n"]) -> list[Float[Array, "*rows size"]]:
        """Split an array into the parts of each tensor."""
        return jnp.split(x, list(accumulate(self.sizes))[:-1], axis=-1)

    def means(self, x: Float[Array, "*rows n"]) -> Float[Array, "*rows tensors"]:
        """Average over each tensor."""
        return jnp.stack([jnp.mean(part, -1) for part in self.split(x)], axis=-1)

    def spread(self, values: Float[Array, "*rows tensors"]) -> Float[Array, "*rows n"]:
        """Give every coordinate the value of its tensor."""
        return jnp.concatenate(
            [
                jnp.broadcast_to(values[..., i, None], (*values.shape[:-1], size))
                for i, size in enumerate(self.sizes)
            ],
            axis=-1,
        )

    def relative(self, x: Float[Array, "*rows n"], floor: float = TINY) -> Float[Array, "*rows n"]:
        """Scale to a mean square of 1 over each tensor, unless it was below `floor`."""
        return x * self.spread(jax.lax.rsqrt(jnp.maximum(self.means(x**2), floor)))


def none_yet(n: int, decays: Sequence[float]) -> Float[Array, "decays n"]:
    """Return running means before the first value."""
    return jnp.zeros((len(decays), n), jnp.result_type(float))


def running(
    mean: Float[Array, "decays n"], x: Float[Array, " n"], decays: Sequence[float]
) -> Float[Array, "decays n"]:
    """Update running means with one more value."""
    beta = jnp.asarray(decays)[:, None]
    return beta * mean + (1 - beta) * x


def corrected(
    mean: Float[Array, "decays n"], steps: Int[Array, ""], decays: Sequence[float]
) -> Float[Array, "decays n"]:
    """Correct running means for their start at 0, m / (1 - βᵗ), after so many steps (Kingma and Ba
    2015, algorithm 1)."""
    return mean / (1 - jnp.asarray(decays) ** steps)[:, None]


def clock(steps: Int[Array, ""], times: Sequence[float]) -> Float[Array, " times"]:
    """Encode the time at several scales, as tanh(t/τ - 1) for each time τ (Metz et al. 2020)."""
    return jnp.tanh(steps / jnp.asarray(times) - 1)
