"""Zero-shot episodes: classes have a description instead of examples."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.likelihood import Categorical
from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.tasks.source import ClassSource, DescribedSource, distinct


class ZeroShot(TaskDistribution[Episode]):
    """`way` distinct classes, in random order, with labels 0 … way - 1. The support set holds their
    descriptions; the queries are `query` examples of each (Snell et al. 2017, section 2.7).

    >>> ZeroShot(glyphs, way=20, query=5).sample(key).support.x.shape
    (20, 175)
    """

    source: DescribedSource
    way: int = eqx.field(static=True)
    query: int = eqx.field(static=True)

    def __check_init__(self):
        if not 2 <= self.way <= self.source.classes:
            raise ValueError(f"{self.way}-way episodes from {self.source.classes} classes")
        if self.query < 1:
            raise ValueError(f"{self.query} queries: at least 1")

    def sample(self, key: PRNGKeyArray) -> Episode:
        choose, draw = jax.random.split(key)
        classes = distinct(choose, self.source.classes, self.way)
        x = jax.vmap(lambda k, c: self.source.draw(k, c, self.query))(
            jax.random.split(draw, self.way), classes
        )
        labels = jnp.arange(self.way)
        return Episode(
            support=Examples(jax.vmap(self.source.describe)(classes), labels),
            query=Examples(x.reshape(-1, *x.shape[2:]), jnp.repeat(labels, self.query)),
            likelihood=Categorical(self.way),
        )

    def protocol(self) -> dict[str, Any]:
        counts = {"way": self.way, "shot": 0, "queries per class": self.query}
        return {**self.source.protocol(), **counts, "support": "descriptions of classes"}


class Described(DescribedSource):
    """Classes with a table of descriptions, a row for each class."""

    source: ClassSource
    descriptions: Float[Array, "classes d"]
    classes: int = eqx.field(static=True)

    def __init__(self, source: ClassSource, descriptions: Any):
        self.source, self.descriptions = source, jnp.asarray(descriptions)
        self.classes = source.classes
        if len(self.descriptions) != self.classes:
            raise ValueError(f"{len(self.descriptions)} descriptions of {self.classes} classes")

    def draw(
        self, key: PRNGKeyArray, label: Int[Array, ""], count: int
    ) -> Float[Array, "count ..."]:
        return self.source.draw(key, label, count)

    def describe(self, label: Int[Array, ""]) -> Float[Array, " d"]:
        return self.descriptions[label]

    def protocol(self) -> dict[str, Any]:
        return self.source.protocol()
