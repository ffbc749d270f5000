"""Texts as classes' examples: tokens, and how rare each token is."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from quickstudy.tasks.arrays import ArraySource


class TextSource(ArraySource):
    """Texts that lie in memory: rows of tokens, which end in zeros.

    >>> TextSource(tokens, [0, 10], [10, 10], {"data": "letters"}, idf).draw(key, label, 5).shape
    (5, 40)
    """

    idf: Float[Array, " vocabulary"]
    """How rare each token is: see `datasets.tokens`."""
    vocabulary: int = eqx.field(static=True)
    """How many tokens there are."""

    def __init__(self, x: Any, first: Any, count: Any, words: dict[str, Any], idf: Any):
        super().__init__(x, first, count, words)
        self.idf = jnp.asarray(idf, float)
        self.vocabulary = len(idf)
