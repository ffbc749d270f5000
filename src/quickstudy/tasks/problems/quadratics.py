"""Random quadratics (Andrychowicz et al. 2016, section 3.1):

    f(θ) = ‖W θ - y‖²,     W: d × d and y of independent N(0, 1)

Difference from the paper, which does not specify the starting point: θ_0 ~ N(0, I)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.task import Optimizee, TaskDistribution


class Quadratic(Optimizee):
    """One W and y."""

    w: Float[Array, "d d"]
    y: Float[Array, " d"]

    def init(self, key: PRNGKeyArray) -> Float[Array, " d"]:
        return jax.random.normal(key, self.y.shape)

    def loss(self, parameters: Float[Array, " d"], key: PRNGKeyArray) -> Float[Array, ""]:
        return jnp.sum((self.w @ parameters - self.y) ** 2)


class Quadratics(TaskDistribution[Quadratic]):
    """>>> problem = Quadratics(dimensions=10).sample(key)"""

    dimensions: int = eqx.field(static=True, default=10)

    def sample(self, key: PRNGKeyArray) -> Quadratic:
        for_w, for_y = jax.random.split(key)
        d = self.dimensions
        return Quadratic(jax.random.normal(for_w, (d, d)), jax.random.normal(for_y, (d,)))

    def protocol(self) -> dict[str, Any]:
        return {"problems": "quadratics", "dimensions": self.dimensions}
