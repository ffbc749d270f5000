"""Texts as weighted counts of their tokens, with weights and embeddings that meta-learning trains.

A text with n_t times the token t becomes the unit vector (TF-IDF: Spärck Jones 1972)

    v_t = w_t n_t / ‖w n‖,    w_t = idf_t
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.networks.layers import Precision, multiply
from quickstudy.networks.network import Network, Statistics

FIRST_SIZE = 0.1
"""The initial length of a token's embedding: its share of squared distances is then 1 %."""

FIRST_SCALE = 3.0
"""The initial factor of distances, because unit vectors differ by little."""


class TfIdf(Network):
    """The vector v of a text, without training. Token 0 is padding and has no effect.

    >>> TfIdf(idf)(tokens)[0].shape      # of 30 kinds of tokens
    (25, 30)
    """

    log_weight: Float[Array, " vocabulary"]
    """log w. A network that is trained may change it."""
    outputs: int = eqx.field(static=True)

    def __init__(self, idf: Sequence[float] | Array):
        self.outputs = len(idf)
        self.log_weight = jnp.log(jnp.maximum(jnp.asarray(idf, float), 1e-6))

    def __call__(
        self, x: Int[Array, "n tokens"], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n vocabulary"], Statistics]:
        weight = jnp.where(x > 0, jnp.exp(self.log_weight)[x], 0)
        text = jnp.arange(x.shape[0])[:, None]
        v = jnp.zeros((x.shape[0], self.outputs)).at[text, x].add(weight)
        return v * jax.lax.rsqrt(jnp.sum(v**2, -1, keepdims=True) + 1e-12), ()

    @property
    def normalises(self) -> bool:
        return False


class BagOfWords(Network):
    """TF-IDF with learned weights, concatenated with the sum of the tokens' embeddings:

        z = s [v, E v]

    The inner product of two texts is s² vᵀ (I + EᵀE) v': texts are similar by tokens that they
    share, and by tokens with similar learned embeddings. E starts small, so an untrained network
    compares texts as `TfIdf` does.

    >>> BagOfWords(idf, key=key)(tokens)[0].shape      # of 30 kinds of tokens, embedded in 64
    (25, 94)
    """

    tf_idf: TfIdf
    embedding: Float[Array, "vocabulary width"]
    log_scale: Float[Array, ""]
    outputs: int = eqx.field(static=True)

    def __init__(
        self,
        idf: Sequence[float] | Array,
        *,
        width: int = 64,
        precision: Precision = "float32",
        key: PRNGKeyArray,
    ):
        """`idf` is how rare each token is; tokens are below its length."""
        self.tf_idf = TfIdf(idf)
        size = FIRST_SIZE / width**0.5
        self.embedding = size * jax.random.normal(key, (len(idf), width))
        self.log_scale = jnp.log(FIRST_SCALE)
        self.precision = precision
        self.outputs = len(idf) + width

    def __call__(
        self, x: Int[Array, "n tokens"], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        v, _ = self.tf_idf(x)
        e = multiply(jnp.matmul, v, self.embedding, self.precision)
        return jnp.exp(self.log_scale) * jnp.concatenate([v, e], axis=-1), ()

    @property
    def normalises(self) -> bool:
        return False
