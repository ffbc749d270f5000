"""Sine curves (Finn, Abbeel and Levine 2017, section 5.1)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from quickstudy.likelihood import Gaussian
from quickstudy.task import Episode, Examples
from quickstudy.tasks.finite import Redrawn


class Sinusoid(Redrawn):
    """y = a sin(x - b), a ~ U[0.1, 5], b ~ U[0, π]; x ~ U[-5, 5] in support and query set.
    `sample(key, examples)` is the curve of `key`, with x drawn by the second key.

    >>> Sinusoid(shot=10, query=10).sample(jax.random.key(0)).support.x.shape
    (10, 1)
    """

    shot: int = eqx.field(static=True, default=10)
    query: int = eqx.field(static=True, default=10)

    @property
    def likelihood(self) -> Gaussian:
        return Gaussian(1)

    def sample(self, key: PRNGKeyArray, examples: PRNGKeyArray | None = None) -> Episode:
        for_amplitude, for_phase, for_x = jax.random.split(key, 3)
        for_x = for_x if examples is None else examples
        amplitude = jax.random.uniform(for_amplitude, minval=0.1, maxval=5.0)
        phase = jax.random.uniform(for_phase, minval=0.0, maxval=jnp.pi)
        x = jax.random.uniform(for_x, (self.shot + self.query, 1), minval=-5.0, maxval=5.0)
        y = amplitude * jnp.sin(x - phase)
        return Episode(
            support=Examples(x[: self.shot], y[: self.shot]),
            query=Examples(x[self.shot :], y[self.shot :]),
            likelihood=self.likelihood,
        )

    def protocol(self) -> dict[str, Any]:
        return {"data": "sinusoid", "shot": self.shot, "queries": self.query}
