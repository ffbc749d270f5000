"""A small network for the words around a blank."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.networks.layers import Linear, Precision
from quickstudy.networks.network import Network, Statistics


class Text(Network):
    """Embeddings of the tokens in a window, a hidden layer of all of them, and a linear layer:

    z = W₂ relu(Σ_p W₁_p e(x_p) + b₁) + b₂
    """

    embedding: Float[Array, "vocabulary e"]
    hidden: Linear
    last: Linear
    outputs: int = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, ...],
        vocabulary: int,
        *,
        width: int = 64,
        hidden: int = 256,
        outputs: int = 128,
        precision: Precision = "float32",
        key: PRNGKeyArray,
    ):
        """`shape` is that of one input, (tokens,), each below `vocabulary`."""
        keys = jax.random.split(key, 3)
        self.embedding = jax.random.normal(keys[0], (vocabulary, width))
        self.hidden = Linear(shape[0] * width, hidden, precision=precision, key=keys[1])
        self.last = Linear(hidden, outputs, precision=precision, key=keys[2])
        self.precision = precision
        self.outputs = outputs

    def __call__(
        self, x: Int[Array, "n l"], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        e = self.embedding[x].reshape(x.shape[0], -1)
        return self.last(jax.nn.relu(self.hidden(e))), ()

    @property
    def normalises(self) -> bool:
        return False
