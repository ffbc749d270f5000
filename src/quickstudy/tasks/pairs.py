"""Verification: whether two pictures belong to the same class."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from quickstudy.likelihood import Categorical
from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.tasks.source import ClassSource, distinct
from quickstudy.tasks.within import Division


class Pairs(TaskDistribution[Episode]):
    """`count` pairs of distinct examples of one class, labelled 1, and as many pairs of examples
    of two classes, labelled 0 (Koch et al. 2015, section 3): an episode without a support set,
    whose query inputs are pairs.

    With a `division`, both classes of a pair come from one of its groups, and all groups are
    equally frequent. Without it, classes are drawn from all classes.

    >>> Pairs(source, 64).sample(key).query.x.shape
    (128, 2, 28, 28, 1)
    """

    source: ClassSource
    pairs: int = eqx.field(static=True)
    division: Division | None = None

    def __check_init__(self):
        if self.source.classes < 2 or self.pairs < 1:
            raise ValueError(f"{self.pairs} pairs from {self.source.classes} classes")

    def sample(self, key: PRNGKeyArray) -> Episode:
        def same(key: PRNGKeyArray):
            choose, draw = jax.random.split(key)
            return self.source.draw(draw, self.two_classes(choose)[0], 2)

        def different(key: PRNGKeyArray):
            choose, *draw = jax.random.split(key, 3)
            classes = self.two_classes(choose)
            one = jax.vmap(lambda key, label: self.source.draw(key, label, 1)[0])
            return one(jnp.stack(draw), classes)

        for_same, for_different = jax.random.split(key)
        x = jnp.concatenate(
            [
                jax.vmap(same)(jax.random.split(for_same, self.pairs)),
                jax.vmap(different)(jax.random.split(for_different, self.pairs)),
            ]
        )
        y = jnp.repeat(jnp.asarray([1, 0]), self.pairs)
        return Episode(Examples(x[:0, 0], y[:0]), Examples(x, y), Categorical(2))

    def two_classes(self, key: PRNGKeyArray) -> Int[Array, " 2"]:
        """Draw two distinct classes, in random order."""
        if self.division is None:
            return distinct(key, self.source.classes, 2)
        return self.division.choose(key, 2)

    def protocol(self) -> dict[str, Any]:
        within = {} if self.division is None else {"within": "one group"}
        return {**self.source.protocol(), "pairs": 2 * self.pairs, **within}
