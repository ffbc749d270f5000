"""A network that begins as its inputs: for features that mean something already.

    f(x) = s ⊙ x + relu(x B + b) C,     s_j = √(10 / d) and C = 0 before training

Distances of f(x) are at first those of the d inputs themselves. So a metric learner starts from the
nearest mean, or neighbour, of the inputs, and s learns how much each of them counts. The first s
brings standardised features that are independent to squared distances of about 20, at which
exp(-d²) is neither 0 nor 1 for near ones.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.networks.layers import Linear, Precision, multiply
from quickstudy.networks.network import Network, Statistics

NEAR = 10.0
"""Half the squared distance of two independent inputs at the start."""


class Residual(Network):
    """Scaled inputs, and a perceptron of one hidden layer beside them. It is no chain of layers, so
    it does not name any.

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
        """`shape` is that of one input."""
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
