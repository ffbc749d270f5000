"""Classical test functions in d dimensions, each with its minimum 0 at a random point:

ackley      20 - 20 exp(-0.2 √(1/d Σ x_i²)) + e - exp(1/d Σ cos 2πx_i)
rastrigin   Σ x_i² - 10 cos 2πx_i + 10
rosenbrock  Σ 100 (x_{i+1} - x_i²)² + (1 - x_i)²
styblinski  1/2 Σ (x_i⁴ - 16 x_i² + 5 x_i) + 39.16617 d
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.task import Optimizee, TaskDistribution

Function = Literal["ackley", "rastrigin", "rosenbrock", "styblinski"]


def ackley(x: Float[Array, " d"]) -> Float[Array, ""]:
    """Many local minima on the slope of a deep minimum."""
    distance = jnp.sqrt(jnp.mean(x**2) + 1e-12)  # differentiable at 0
    hollows = jnp.exp(jnp.mean(jnp.cos(2 * jnp.pi * x)))
    return 20 - 20 * jnp.exp(-0.2 * distance) + jnp.e - hollows


def rastrigin(x: Float[Array, " d"]) -> Float[Array, ""]:
    """A paraboloid with a local minimum at every integer."""
    return jnp.sum(x**2 - 10 * jnp.cos(2 * jnp.pi * x) + 10)


def rosenbrock(x: Float[Array, " d"]) -> Float[Array, ""]:
    """A long curved valley."""
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def styblinski(x: Float[Array, " d"]) -> Float[Array, ""]:
    """Two minima in each dimension, one deeper."""
    return 0.5 * jnp.sum(x**4 - 16 * x**2 + 5 * x) + 39.16616570377142 * x.size


BOXES = {ackley: 5.0, rastrigin: 5.12, rosenbrock: 2.048, styblinski: 5.0}
"""The usual domain of each function: |x_i| at most this."""
FUNCTIONS = {function.__name__: function for function in BOXES}


class TestFunction(Optimizee):
    """One translated function."""

    __test__ = False  # no test of pytest's

    offset: Float[Array, " d"]
    function: Function = eqx.field(static=True)

    def init(self, key: PRNGKeyArray) -> Float[Array, " d"]:
        box = BOXES[FUNCTIONS[self.function]]
        start = jax.random.uniform(key, self.offset.shape, minval=-box, maxval=box)
        return start + self.offset

    def loss(self, parameters: Float[Array, " d"], key: PRNGKeyArray) -> Float[Array, ""]:
        return FUNCTIONS[self.function](parameters - self.offset)


class TestFunctions(TaskDistribution[TestFunction]):
    """Functions of one kind, with different translations and starting points.

    >>> problem = TestFunctions("rosenbrock", dimensions=2).sample(key)
    """

    __test__ = False

    function: Function = eqx.field(static=True, default="rosenbrock")
    dimensions: int = eqx.field(static=True, default=10)

    def sample(self, key: PRNGKeyArray) -> TestFunction:
        return TestFunction(jax.random.normal(key, (self.dimensions,)), self.function)

    def protocol(self) -> dict[str, Any]:
        return {"problems": self.function, "dimensions": self.dimensions}
