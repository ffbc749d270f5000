"""A small network for the tokens around a blank."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.networks.layers import Linear, Precision
from quickstudy.networks.network import Layer, Network, Statistics

EMBEDDING_SCALE = 0.1
"""Initial standard deviation of embeddings: small, so a rare token has little effect."""


class Text(Network):
    """Embeddings e of the tokens in a window, and a layer with separate weights for each position:

        z = W₂ relu(Σ_p W_p e(x_p) + b₁) + b₂

    The window is short and the blank is always in its middle, so positions are comparable.

    >>> Text((21,), vocabulary=10_000, key=key)(tokens)[0].shape
    (25, 128)
    """

    embedding: Float[Array, "vocabulary width"]
    hidden: Linear
    last: Linear
    outputs: int = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, ...],
        vocabulary: int,
        *,
        width: int = 32,
        hidden: int = 256,
        outputs: int = 128,
        precision: Precision = "float32",
        key: PRNGKeyArray,
    ):
        """`shape` is the shape of one input, (tokens,); tokens are below `vocabulary`."""
        (tokens,) = shape
        for_embedding, for_hidden, for_last = jax.random.split(key, 3)
        self.embedding = EMBEDDING_SCALE * jax.random.normal(for_embedding, (vocabulary, width))
        self.hidden = Linear(tokens * width, hidden, precision=precision, key=for_hidden)
        self.last = Linear(hidden, outputs, precision=precision, key=for_last)
        self.precision = precision
        self.outputs = outputs

    def __call__(
        self, x: Int[Array, "n tokens"], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        e = self.embedding[x].reshape(x.shape[0], -1)
        return self.last(jax.nn.relu(self.hidden(e))), ()

    @property
    def normalises(self) -> bool:
        return False

    def weight_layers(self) -> list[Layer]:
        return [
            Layer(self.embedding),
            Layer(self.hidden.weight, self.hidden.bias),
            Layer(self.last.weight, self.last.bias),
        ]
