"""Episodes in which classes have their shares of the data."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.likelihood import Categorical, Likelihood
from quickstudy.task import Episode, Examples
from quickstudy.tasks.arrays import ArraySource, shares
from quickstudy.tasks.finite import Redrawn
from quickstudy.tasks.source import distinct


class UnequalEpisode(Episode):
    """An episode whose classes have different numbers of queries."""

    def metrics(
        self, predictions: Float[Array, "n size"], likelihood: Likelihood
    ) -> dict[str, Float[Array, ""]]:
        """Compute the metrics of all queries and the balanced accuracy, the mean over classes of
        the accuracy on each class:

            1/N Σ_k #{i : ŷ_i = y_i = k} / #{i : y_i = k}.
        """
        figures, y = super().metrics(predictions, likelihood), self.query.y
        assert isinstance(likelihood, Categorical)
        of_class = y[:, None] == jnp.arange(likelihood.size)
        right = of_class & (jnp.argmax(predictions, -1) == y)[:, None]
        recall = jnp.sum(right, 0) / jnp.maximum(jnp.sum(of_class, 0), 1)
        balanced = jnp.mean(recall, where=jnp.any(of_class, 0))
        return {"accuracy": figures.pop("accuracy"), "balanced accuracy": balanced, **figures}


class Proportional(Redrawn):
    """`way` distinct classes; `way` × `shot` support and `way` × `query` query examples, all
    distinct, of which each class has one at least and the rest are divided in proportion to how
    many examples the classes have (`apportioned`).

    The support set takes at most all examples of a class except one. Where a class has too few,
    unlabelled examples (-1) fill the places.

    >>> Proportional(source, way=2, shot=3, query=2).sample(key).support.y
    Array([0, 0, 0, 0, 1, 1], dtype=int32)
    """

    source: ArraySource
    way: int = eqx.field(static=True)
    shot: int = eqx.field(static=True)
    query: int = eqx.field(static=True)
    most: int = eqx.field(static=True)

    def __init__(self, source: ArraySource, way: int, shot: int, query: int):
        self.source, self.way, self.shot, self.query = source, way, shot, query
        self.most = int(np.max(source.count))
        if not 2 <= way <= source.classes:
            raise ValueError(f"{way}-way episodes from {source.classes} classes")
        if shot < 1 or query < 1:
            raise ValueError(f"{shot} shots and {query} queries: at least 1 of each")

    @property
    def likelihood(self) -> Categorical:
        return Categorical(self.way)

    def sample(self, key: PRNGKeyArray, examples: PRNGKeyArray | None = None) -> UnequalEpisode:
        choose, own = jax.random.split(key)
        classes = distinct(choose, self.source.classes, self.way)
        keys = jax.random.split(own if examples is None else examples, self.way)
        there = self.source.count[classes]
        rows = self.source.first[classes][:, None] + jax.vmap(self.shuffled)(keys, there)
        shot = jnp.minimum(apportioned(there, self.way * self.shot), there - 1)
        query = jnp.minimum(apportioned(there, self.way * self.query), there - shot)
        return UnequalEpisode(
            self.examples(rows, jnp.zeros_like(shot), shot, self.way * self.shot),
            self.examples(rows, shot, query, self.way * self.query),
            self.likelihood,
        )

    def shuffled(self, key: PRNGKeyArray, there: Int[Array, ""]) -> Int[Array, " most"]:
        """Return the numbers below `there` in random order, followed by the others."""
        order = jax.random.uniform(key, (self.most,))
        return jnp.argsort(jnp.where(jnp.arange(self.most) < there, order, jnp.inf))

    def examples(
        self,
        rows: Int[Array, "way most"],
        start: Int[Array, " way"],
        count: Int[Array, " way"],
        places: int,
    ) -> Examples:
        """`count` examples of each class, from place `start` of its rows, in so many `places`."""
        end, place = jnp.cumsum(count), jnp.arange(places)
        label = jnp.minimum(jnp.searchsorted(end, place, side="right"), self.way - 1)
        there = place < end[-1]
        number = jnp.where(there, start[label] + place - (end - count)[label], 0)
        x = shares(self.source.x[rows[label, number]])
        return Examples(x, jnp.where(there, label, -1))

    def protocol(self) -> dict[str, Any]:
        counts = {"way": self.way, "shot": self.shot, "queries per class": self.query}
        return {**self.source.protocol(), **counts, "class sizes": "in proportion to the data"}


def apportioned(sizes: Int[Array, " n"], total: int) -> Int[Array, " n"]:
    """Divide `total` among classes: one for each, and the rest by the method of largest
    remainders. With r = total - n, class k has 1 + floor(r size_k / Σ size) and, as long as some
    are left, one more where the remainder is largest. The sum is `total`, which is n at least.

    >>> apportioned(jnp.array([80, 15, 5]), 10)
    Array([7, 2, 1], dtype=int32)
    """
    quota = (total - len(sizes)) * (sizes / jnp.sum(sizes))
    whole = jnp.floor(quota).astype(int)
    left = total - len(sizes) - jnp.sum(whole)
    place = jnp.argsort(jnp.argsort(-(quota - whole), stable=True))
    return 1 + whole + (place < left)
