"""Sequences with labels that arrive one step late (Santoro et al. 2016, section 2)."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.likelihood import LETTERS, Categorical, Letters, Likelihood
from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.tasks.source import ClassSource, distinct

PRESENTATIONS = 10
"""The last presentation of a class that has its own accuracy."""


class Sequence(Episode):
    """Examples that come one after the other, each predicted from the examples before it. The label
    of an example is revealed after its prediction (Santoro et al. 2016, section 2). The examples
    are the queries; the support set is empty."""

    in_turn: ClassVar[bool] = True

    def presentations(self) -> Int[Array, " n"]:
        """The number of the presentation of each example's class: 1 for the first example of a
        class."""
        y = self.query.y.reshape(len(self.query.y), -1)
        return jnp.sum(jnp.tril(jnp.all(y[:, None] == y, -1)), axis=1)

    def metrics(
        self, predictions: Float[Array, "n size"], likelihood: Likelihood
    ) -> dict[str, Float[Array, ""]]:
        """Compute the metrics of all examples, and `accuracy@1` … `accuracy@10`, the accuracy on
        the k-th examples of their classes; NaN where there are none."""
        figures = super().metrics(predictions, likelihood)
        presentations, y = self.presentations(), self.query.y
        for k in range(1, PRESENTATIONS + 1):
            now = presentations == k
            only = jnp.where(now.reshape(-1, *[1] * (y.ndim - 1)), y, -1)
            accuracy = likelihood.metrics(predictions, only)["accuracy"]
            figures[f"accuracy@{k}"] = jnp.where(jnp.any(now), accuracy, jnp.nan)
        return figures


class Sequences(TaskDistribution[Episode]):
    """`length` examples, each of one of `way` classes with equal probability. The classes, their
    names and their examples are drawn for each sequence. The examples of a class are distinct up to
    `examples` of them; then they repeat.

    With `letters` the name of a class is a random word of five letters instead of a number;
    different classes have different words.

    >>> Sequences(source, way=5, length=50).sample(key).query.y.shape
    (50,)
    """

    source: ClassSource
    way: int = eqx.field(static=True)
    length: int = eqx.field(static=True)
    letters: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if not 2 <= self.way <= self.source.classes:
            raise ValueError(f"sequences of {self.way} classes from {self.source.classes}")
        if self.length < 1:
            raise ValueError(f"a sequence of {self.length} examples: at least 1")

    @property
    def examples(self) -> int:
        """The number of examples that a class must have: twice the average number in a sequence."""
        return examples_each(self.length, self.way)

    @property
    def likelihood(self) -> Likelihood:
        return Letters() if self.letters else Categorical(self.way)

    def sample(self, key: PRNGKeyArray) -> Sequence:
        choose, order, draw, call = jax.random.split(key, 4)
        classes = distinct(choose, self.source.classes, self.way)
        x = jax.vmap(lambda k, c: self.source.draw(k, c, self.examples))(
            jax.random.split(draw, self.way), classes
        )
        which = jax.random.randint(order, (self.length,), 0, self.way)
        before = jnp.tril(which[:, None] == which, -1).sum(1)
        y = words(distinct(call, LETTERS**LETTERS, self.way))[which] if self.letters else which
        examples = Examples(x[which, before % self.examples], y)
        return Sequence(
            support=jax.tree.map(lambda a: a[:0], examples),
            query=examples,
            likelihood=self.likelihood,
        )

    def protocol(self) -> dict[str, Any]:
        called = {"labels": "five letters"} if self.letters else {}
        return {**self.source.protocol(), "way": self.way, "length": self.length, **called}


def examples_each(length: int, way: int) -> int:
    """The number of examples of a class that are drawn for a sequence."""
    return -(-2 * length // way)


def words(numbers: Int[Array, " n"]) -> Int[Array, "n letters"]:
    """Return the digits of the numbers to the base 5.

    >>> words(jnp.asarray([0, 7]))
    Array([[0, 0, 0, 0, 0],
           [0, 0, 0, 1, 2]], dtype=int32)
    """
    places = LETTERS ** jnp.arange(LETTERS - 1, -1, -1)
    return numbers[:, None] // places % LETTERS
