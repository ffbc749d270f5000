"""Sources of examples by class, which few-shot episodes draw from."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped


class ClassSource(eqx.Module):
    """Many classes, each with examples to draw.

    >>> source.draw(key, jnp.asarray(3), 5).shape      # five distinct examples of class 3
    (5, 28, 28, 1)
    """

    classes: eqx.AbstractVar[int]
    """The number of classes; their labels are 0 … classes - 1."""

    @abc.abstractmethod
    def draw(
        self, key: PRNGKeyArray, label: Int[Array, ""], count: int
    ) -> Shaped[Array, "count ..."]:
        """Draw `count` distinct examples of the class `label`, in random order; a pure function of
        the key."""

    @abc.abstractmethod
    def protocol(self) -> dict[str, Any]:
        """Describe this source for results: data, split, rotations …"""


class DescribedSource(ClassSource):
    """Classes that have a description and examples.

    >>> source.describe(jnp.asarray(3)).shape
    (312,)
    """

    @abc.abstractmethod
    def describe(self, label: Int[Array, ""]) -> Float[Array, "..."]:
        """Describe the class `label` by a vector of numbers of the order of 1."""


def distinct(
    key: PRNGKeyArray, population: int | Int[Array, ""], count: int
) -> Int[Array, " count"]:
    """Draw `count` distinct integers from 0 … population - 1, every ordered choice equally likely.

    Floyd's algorithm (Bentley and Floyd 1987), then a shuffle: it takes count² comparisons for any
    population, which may be traced. population ≥ count is not checked."""
    choose, shuffle = jax.random.split(key)
    last = population - count + jnp.arange(count)  # at turn i, choose from 0 … last[i]
    draws = jax.random.randint(choose, (count,), 0, last + 1)

    def turn(chosen: Array, i: Array) -> tuple[Array, None]:
        taken = jnp.any(chosen == draws[i])
        return chosen.at[i].set(jnp.where(taken, last[i], draws[i])), None

    chosen, _ = jax.lax.scan(turn, jnp.full(count, -1, last.dtype), jnp.arange(count))
    return jax.random.permutation(shuffle, chosen)
