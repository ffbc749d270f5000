"""Many small data sets with real targets: each episode is one data set."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.likelihood import Gaussian, Likelihood
from quickstudy.task import Episode, Examples
from quickstudy.tasks.finite import Redrawn
from quickstudy.tasks.source import distinct


class InUnits(Episode):
    """An episode whose targets were divided by `unit`. Its metrics also have `rmse`, the root of
    the mean squared error in units of the data."""

    unit: float = eqx.field(static=True, default=1.0)

    def metrics(
        self, predictions: Float[Array, "n size"], likelihood: Likelihood
    ) -> dict[str, Float[Array, ""]]:
        found = super().metrics(predictions, likelihood)
        return {**found, "rmse": self.unit * jnp.sqrt(found["mse"])}


class RowsOfTasks(Redrawn):
    """Small data sets, one after the other in `x` and `y`: task t has the rows first[t] … first[t]
    + count[t] - 1, two at least. An episode is one task, with `shot` rows to learn from and `query`
    others to predict, drawn at random. With `in_time` they are successive rows, and the rows to
    predict come last.

    A task with fewer rows gives min(shot, rows - 1) rows to learn from, and up to `query` of the
    rest; the other places are unlabelled.

    Test task number i is task i modulo the number of tasks, so all tasks are equally frequent.

    >>> some = RowsOfTasks(jnp.zeros((7, 3)), jnp.zeros((7, 1)), jnp.array([0, 4]),
    ...     jnp.array([4, 3]), shot=2, query=5)
    >>> (~jnp.isnan(some.sample(key).query.y)).sum() <= 2
    Array(True, dtype=bool)
    """

    x: Float[Array, "rows d"]
    y: Float[Array, "rows 1"]
    first: Int[Array, " tasks"]
    count: Int[Array, " tasks"]
    shot: int = eqx.field(static=True)
    query: int = eqx.field(static=True)
    in_time: bool = eqx.field(static=True, default=False)
    unit: float = eqx.field(static=True, default=1.0)
    """The number that targets were divided by."""
    words: tuple[tuple[str, Any], ...] = eqx.field(static=True, default=())
    """Further entries of `protocol`: data, split …"""

    def sample(self, key: PRNGKeyArray, examples: PRNGKeyArray | None = None) -> InUnits:
        choose, draw = jax.random.split(key)
        task = jax.random.randint(choose, (), 0, len(self.first))
        return self.of_task(task, draw if examples is None else examples)

    def numbered(self, key: PRNGKeyArray, number: int | Int[Array, ""]) -> InUnits:
        return self.of_task(jnp.asarray(number) % len(self.first), key)

    def of_task(self, task: Int[Array, ""], key: PRNGKeyArray) -> InUnits:
        """Draw the rows of an episode of one task."""
        count = self.count[task]
        told = jnp.minimum(self.shot, count - 1)
        asked = jnp.minimum(self.query, count - told)
        if self.in_time:
            start = jax.random.randint(key, (), 0, count - told - asked + 1)
            rows = start + jnp.arange(self.shot + self.query)
        else:
            rows = shuffled(key, count, self.shot + self.query)

        def some(begin: int | Array, places: int, there: Array) -> Examples:
            place = jnp.arange(places)
            chosen = rows[jnp.minimum(begin + place, len(rows) - 1)]
            chosen = self.first[task] + jnp.minimum(chosen, count - 1)
            return Examples(
                self.x[chosen], jnp.where((place < there)[:, None], self.y[chosen], jnp.nan)
            )

        support, query = some(0, self.shot, told), some(told, self.query, asked)
        return InUnits(support, query, Gaussian(1), self.unit)

    def protocol(self) -> dict[str, Any]:
        return {
            **dict(self.words),
            "tasks": len(self.first),
            "shot": self.shot,
            "queries": self.query,
            "order": "in time" if self.in_time else "any",
            **({} if self.unit == 1 else {"unit": self.unit}),
        }


def shuffled(key: PRNGKeyArray, population: Int[Array, ""], count: int) -> Int[Array, " count"]:
    """`count` distinct integers below `population`, in random order; where it has fewer, all of
    them come first."""
    drawn = distinct(key, jnp.maximum(population, count), count)
    return drawn[jnp.argsort(drawn >= population, stable=True)]
