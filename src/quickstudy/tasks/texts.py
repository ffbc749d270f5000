"""Texts as examples of classes: tokens, and the rarity of each token."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from quickstudy.tasks.arrays import ArraySource


class TextSource(ArraySource):
    """Texts in memory: rows of tokens, padded with zeros.

    >>> TextSource(tokens, [0, 10], [10, 10], {"data": "letters"}, idf).draw(key, label, 5).shape
    (5, 40)
    """

    idf: Float[Array, " vocabulary"]
    """The rarity (idf) of each token: see `datasets.tokens`."""
    vocabulary: int = eqx.field(static=True)
    """The number of tokens."""

    def __init__(self, x: Any, first: Any, count: Any, words: dict[str, Any], idf: Any):
        super().__init__(x, first, count, words)
        self.idf = jnp.asarray(idf, float)
        self.vocabulary = len(idf)
