"""Attentive recurrent comparators (Shyam, Gupta and Dukkipati, ICML 2017).

A recurrent controller looks at two pictures in turn, a small window at a time. Its state sets the
next window:

    Ω_t = tanh(W_g h_{t-1}) = (x̂, ŷ, δ̂)                  where to look, how closely   (section 2.1)
    x = (S - 1) (x̂ + 1) / 2, y likewise                  the window's middle, in pixels
    δ = S / N (1 - |δ̂|),  γ = exp(1 - 2 |δ̂|)             between its places; their width
    μ_i = x + (i - (N + 1) / 2) δ,  i = 1 … N
    F[i, a] = 1 / Z_i · {π γ [1 + ((a - μ_i) / γ)²]}⁻¹    a Cauchy kernel; rows add up to 1
    G_t = F_Y I_t F_Xᵀ                                    I_t is one picture, then the other
    h_t = LSTM(G_t, h_{t-1})                              after g glimpses of each:
    s = w · h_{2g} + b                                    the log-odds that they are of one class

For training on pairs and one-shot classification see `comparing`.

Differences from the paper: this is its first form, which reads pixels; its best results have a
convolutional network before the glimpses and a second recurrent network that sees all classes of an
episode (full context). tanh bounds the parameters of the window, which the paper does not bound.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.learners.metric.comparing import Comparing
from quickstudy.networks.layers import Linear


class ARC(Comparing):
    """A controller that compares by looking back and forth.

    It is not symmetric: it looks at the query first and then at the support example.

    >>> learner = ARC((28, 28, 1), glimpses=8, window=4, controller=512, key=key)
    >>> learner.adapt(support, Categorical(20), key=key)(queries).shape      # logits
    (20, 20)
    """

    cell: eqx.nn.LSTMCell
    where: Linear
    relation: Linear
    glimpses: int = eqx.field(static=True)
    window: int = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        glimpses: int = 8,
        window: int = 4,
        controller: int = 512,
        key: PRNGKeyArray,
    ):
        """`shape` is the shape of one picture, (height, width, channels), or (height,) for a
        picture that is one pixel wide; `controller` is the length of h, `window` is N, `glimpses`
        g."""
        channels = shape[2] if len(shape) > 2 else 1
        for_cell, for_where, for_relation = jax.random.split(key, 3)
        self.cell = eqx.nn.LSTMCell(window**2 * channels, controller, key=for_cell)
        self.where = Linear(controller, 3, key=for_where)
        self.relation = Linear(controller, 1, key=for_relation)
        self.glimpses = glimpses
        self.window = window

    def encode(self, x: Float[Array, "n ..."]) -> Float[Array, "n h w c"]:
        """Return the pictures; nothing is computed for a single picture."""
        return x.reshape(*x.shape, *(1,) * (4 - x.ndim))

    def compare(self, one: Float[Array, "h w c"], other: Float[Array, "h w c"]) -> Float[Array, ""]:
        def look_at_both(state: tuple[Array, Array], _: None):
            for picture in (one, other):
                seen = glimpse(picture, jnp.tanh(self.where(state[0])), self.window)
                state = self.cell(seen.ravel(), state)
            return state, None

        nothing = jnp.zeros(self.cell.hidden_size)
        (h, _), _ = jax.lax.scan(look_at_both, (nothing, nothing), length=self.glimpses)
        return self.relation(h)[0]


def glimpse(
    picture: Float[Array, "h w c"], where: Float[Array, " 3"], size: int
) -> Float[Array, "size size c"]:
    """Compute G, the content of a window of `size` × `size` positions; `where` is (x̂, ŷ, δ̂)."""
    height, width, _ = picture.shape
    columns = kernels(where[0], where[2], size, width)
    rows = kernels(where[1], where[2], size, height)
    return jnp.einsum("ia,abc,jb->ijc", rows, picture, columns)


def kernels(
    centre: Float[Array, ""], closeness: Float[Array, ""], size: int, side: int
) -> Float[Array, "size side"]:
    """Compute F along one axis; the factor π γ is part of Z."""
    middle = (side - 1) * (centre + 1) / 2
    apart = side / size * (1 - jnp.abs(closeness))
    wide = jnp.exp(1 - 2 * jnp.abs(closeness))
    places = middle + (jnp.arange(size) - (size - 1) / 2) * apart
    weights = 1 / (1 + ((jnp.arange(side) - places[:, None]) / wide) ** 2)
    return weights / jnp.sum(weights, axis=1, keepdims=True)
