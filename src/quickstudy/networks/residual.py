"""A network that starts as the identity, for inputs that are already good features.

    f(x) = s ⊙ x + relu(x B + b) C,     s_j = √(10 / d) and C = 0 before training

At first, distances of f(x) are the distances of the d inputs themselves. So a metric learner starts
as the nearest mean, or nearest neighbour, of the inputs, and s learns the weight of each input. The
initial s brings independent standardised features to squared distances of about 20, where exp(-d²)
of near inputs is neither 0 nor 1."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.networks.layers import Linear, Precision, multiply
from quickstudy.networks.network import Network, Statistics

NEAR = 10.0
"""Half the initial squared distance of two independent inputs."""


class Residual(Network):
    """Scaled inputs plus a perceptron with one hidden layer. It is not a chain of layers, so it
    does not name its layers.

    >>> features, _ = Residual((28, 28, 1), key=key)(x)
    """

    scale: Float[Array, " d"]
    """s."""
    hidden: Linear
    """B and b."""
    correction: Float[Array, "hidden d"]
    """C."""
    outputs: int = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        hidden: int = 256,
        precision: Precision = "float32",
        key: PRNGKeyArray,
    ):
        """`shape` is the shape of one input."""
        size = math.prod(shape)
        self.scale = jnp.full(size, math.sqrt(NEAR / size))
        self.hidden = Linear(size, hidden, precision=precision, key=key)
        self.correction = jnp.zeros((hidden, size))
        self.precision = precision
        self.outputs = size

    def __call__(
        self, x: Float[Array, "n ..."], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        x = x.reshape(x.shape[0], -1)
        bent = jax.nn.relu(self.hidden(x))
        corrected = multiply(jnp.matmul, bent, self.correction, self.precision)
        return self.scale * x + corrected, ()

    @property
    def normalises(self) -> bool:
        return False
