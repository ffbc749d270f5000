"""Batch normalisation by some rows of a batch: the others are there to fill it up.

A support set is padded to a fixed number of examples, so that one compiled program takes sets of
any size. A network that normalises the support set by itself must not count the padding.
"""

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from quickstudy.networks.layers import BatchNorm, Moments

Tree = TypeVar("Tree")


class CountedNorm(BatchNorm):
    """Batch normalisation whose mean and variance are those of the rows that are counted.

    Raises `ValueError` for a batch of another number of rows, where no statistics are given.
    """

    counted: Bool[Array, " rows"]

    def __init__(self, norm: BatchNorm, counted: Bool[Array, " rows"]):
        self.gamma, self.beta, self.counted = norm.gamma, norm.beta, counted

    def moments(self, x: Float[Array, "*n channels"]) -> Moments:
        if len(x) != len(self.counted):
            raise ValueError(
                f"a batch of {len(x)} is normalised, where {len(self.counted)} examples are counted"
            )
        each = x.reshape(len(x), -1, x.shape[-1])
        weight = self.counted[:, None, None] / (
            each.shape[1] * jnp.maximum(jnp.sum(self.counted), 1)
        )
        mean = jnp.sum(weight * each, (0, 1))
        return Moments(mean, jnp.maximum(jnp.sum(weight * each**2, (0, 1)) - mean**2, 0.0))


def counting(tree: Tree, counted: Bool[Array, " rows"]) -> Tree:
    """Give a learner or network whose batch normalisations count some rows of a batch alone.

    >>> padded = counting(learner, support.y >= 0).adapt(support, Categorical(5), key=key)
    """
    return _each_norm(tree, lambda norm: CountedNorm(norm, counted))


def plain(tree: Tree) -> Tree:
    """Undo `counting`, in whatever was made of it."""

    def norm(one: BatchNorm) -> BatchNorm:
        made = BatchNorm(len(one.gamma))
        return eqx.tree_at(lambda n: (n.gamma, n.beta), made, (one.gamma, one.beta))

    return _each_norm(tree, norm)


def _each_norm(tree: Tree, make) -> Tree:
    def is_norm(node) -> bool:
        return isinstance(node, BatchNorm)

    return jax.tree.map(lambda node: make(node) if is_norm(node) else node, tree, is_leaf=is_norm)
