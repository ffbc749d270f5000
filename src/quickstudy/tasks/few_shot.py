"""N-way K-shot episodes, and plain batches, from a source of classes."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PRNGKeyArray

from quickstudy.likelihood import Categorical
from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.tasks.finite import Redrawn
from quickstudy.tasks.source import ClassSource, distinct


class Draw(eqx.Module):
    """The way in which an episode draws its classes and their examples: a part of `FewShot`.

    A `Draw` can guarantee properties of the examples, for instance that no sentence comes twice:
    every draw passes through it, also when examples are drawn again."""

    @abc.abstractmethod
    def classes(
        self, key: PRNGKeyArray, tasks: "FewShot"
    ) -> tuple[Int[Array, " way"], PRNGKeyArray]:
        """Choose the classes of the episode of `key`, in the order of its labels, and the key that
        determines all their examples."""

    @abc.abstractmethod
    def example_keys(
        self, examples: PRNGKeyArray, classes: Int[Array, " way"], tasks: "FewShot"
    ) -> Key[Array, " way"]:
        """Derive the key that each class draws its examples with."""

    @abc.abstractmethod
    def protocol(self) -> dict[str, Any]:
        """Describe this way of drawing for results; the ordinary way has no entry."""


class AnyClasses(Draw):
    """Any distinct classes, in random order; examples of each, independently."""

    def classes(self, key, tasks):
        choose, examples = jax.random.split(key)
        return distinct(choose, tasks.source.classes, tasks.way), examples

    def example_keys(self, examples, classes, tasks):
        return jax.random.split(examples, tasks.way)

    def protocol(self) -> dict[str, Any]:
        return {}


class FixedLabels(Draw):
    """Classes divided into `way` fixed groups: label k is a class of group k. Tasks are not
    mutually exclusive, and a network may memorise the labels of classes (Yin et al. 2020, section
    6.2)."""

    def classes(self, key, tasks):
        choose, examples = jax.random.split(key)
        return one_of_each_group(choose, tasks.source.classes, tasks.way), examples

    def example_keys(self, examples, classes, tasks):
        return jax.random.split(examples, tasks.way)

    def protocol(self) -> dict[str, Any]:
        return {"labels": "fixed for each class"}


class FewShot(Redrawn):
    """`way` distinct classes, in random order, which become labels 0 … way - 1; of each, `shot`
    support and `query` query examples, all distinct (Vinyals et al. 2016, section 2.2).

    `draw` says which classes may come together and how their examples are drawn: `AnyClasses`,
    `FixedLabels`, `within.OneHand`, `cloze.NoSentenceTwice`.

    `sample(key, examples)` is the task of `key`, with examples drawn by the second key.

    >>> FewShot(source, way=5, shot=1, query=15).sample(key).query.y.shape
    (75,)
    """

    source: ClassSource
    way: int = eqx.field(static=True)
    shot: int = eqx.field(static=True)
    query: int = eqx.field(static=True)
    draw: Draw = AnyClasses()

    def __check_init__(self):
        if not 2 <= self.way <= self.source.classes:
            raise ValueError(f"{self.way}-way episodes from {self.source.classes} classes")
        if self.shot < 1 or self.query < 1:
            raise ValueError(f"{self.shot} shots and {self.query} queries: at least 1 of each")

    @property
    def likelihood(self) -> Categorical:
        return Categorical(self.way)

    def chosen(self, key: PRNGKeyArray) -> Int[Array, " way"]:
        """Return the classes of the episode `sample(key)`, in the order of its labels."""
        return self.draw.classes(key, self)[0]

    def sample(self, key: PRNGKeyArray, examples: PRNGKeyArray | None = None) -> Episode:
        """Draw the episode of `key`. With a key for `examples`: the same classes with the same
        labels, but other examples."""
        classes, own = self.draw.classes(key, self)
        keys = self.draw.example_keys(own if examples is None else examples, classes, self)
        x = jax.vmap(lambda k, c: self.source.draw(k, c, self.shot + self.query))(keys, classes)
        labels = jnp.arange(self.way)
        return Episode(
            support=Examples(
                x[:, : self.shot].reshape(-1, *x.shape[2:]), jnp.repeat(labels, self.shot)
            ),
            query=Examples(
                x[:, self.shot :].reshape(-1, *x.shape[2:]), jnp.repeat(labels, self.query)
            ),
            likelihood=self.likelihood,
        )

    def protocol(self) -> dict[str, Any]:
        counts = {"way": self.way, "shot": self.shot, "queries per class": self.query}
        return {**self.source.protocol(), **counts, **self.draw.protocol()}


def one_of_each_group(key: PRNGKeyArray, classes: int, groups: int) -> Int[Array, " groups"]:
    """Draw a random member of each group of classes. The groups are nearly equal, random but fixed,
    so they do not follow the order of the classes (alphabets, or rotations)."""
    order = jnp.asarray(np.random.default_rng(0).permutation(classes))
    bounds = np.arange(groups + 1) * classes // groups
    return order[jax.random.randint(key, (groups,), bounds[:-1], bounds[1:])]


class Batches(TaskDistribution[Episode]):
    """Batches of labelled examples from all classes of a source, or the first few, as in ordinary
    supervised learning: episodes without a support set, with the labels of the source."""

    source: ClassSource
    size: int = eqx.field(static=True)
    classes: int = eqx.field(static=True)

    def __init__(self, source: ClassSource, size: int, classes: int | None = None):
        self.source, self.size = source, size
        self.classes = source.classes if classes is None else classes

    def sample(self, key: PRNGKeyArray) -> Episode:
        choose, draw = jax.random.split(key)
        y = jax.random.randint(choose, (self.size,), 0, self.classes)
        x = jax.vmap(lambda k, c: self.source.draw(k, c, 1)[0])(
            jax.random.split(draw, self.size), y
        )
        return Episode(
            support=Examples(x[:0], y[:0]),
            query=Examples(x, y),
            likelihood=Categorical(self.classes),
        )

    def protocol(self) -> dict[str, Any]:
        return {**self.source.protocol(), "classes": self.classes, "batch": self.size}
