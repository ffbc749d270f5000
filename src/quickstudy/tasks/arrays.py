"""Examples in memory."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, Shaped

from quickstudy.tasks.source import ClassSource, distinct


class ArraySource(ClassSource):
    """Examples in memory (on the device), grouped by class: class c has the rows first[c] …
    first[c] + count[c] - 1. Bytes become numbers from 0 to 1."""

    x: Array
    first: Int[Array, " classes"]
    count: Int[Array, " classes"]
    classes: int = eqx.field(static=True)
    words: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    def __init__(self, x: Any, first: Any, count: Any, words: dict[str, Any]):
        """`words` are the entries of `protocol`: data, split …"""
        self.x, self.first, self.count = jnp.asarray(x), jnp.asarray(first), jnp.asarray(count)
        self.classes = len(first)
        self.words = tuple(words.items())

    def draw(
        self, key: PRNGKeyArray, label: Int[Array, ""], count: int
    ) -> Shaped[Array, "count ..."]:
        return shares(self.x[self.first[label] + distinct(key, self.count[label], count)])

    def protocol(self) -> dict[str, Any]:
        return {**dict(self.words), "classes": self.classes}


def shares(x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """Convert bytes to numbers from 0 to 1; other numbers do not change."""
    return x.astype(float) / 255 if x.dtype == jnp.uint8 else x
