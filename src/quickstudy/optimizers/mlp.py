"""A small network on hand-made features of each coordinate of θ (Metz, Maheswaranathan, Freeman,
Poole and Sohl-Dickstein, "Tasks, stability, architecture, and compute", 2020; Metz, Freeman,
Harrison, Maheswaranathan and Sohl-Dickstein, "Practical tradeoffs between memory, compute, and
performance in learned optimizers", CoLLAs 2022: the small fully connected optimiser).

For each coordinate i of a tensor, the features

    g,  m_β,  m_β / √v,  1 / √v,  θ        each divided by its root mean square over the tensor,
    tanh(t/τ - 1)                          for τ = 1, 3, 10 … 100,000,

with momenta m_β at three decays and v at one, go into a perceptron with a direction and the
logarithm of a magnitude as outputs:

    (d_i, q_i) = MLP_φ(features_i),     θ_i ← θ_i - λ₁ d_i exp(λ₂ q_i)

Features are relative to their tensor, so the steps on f and on c f are equal.

Differences from the papers: λ₁ = 0.01 and λ₂ = 0.1, both 0.001 in the papers, because we also train
by back-propagation, whose gradients vanish for outputs that are scaled down so strongly; no column
and row means of the second moment (Adafactor's)."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from quickstudy.optimizers.learned import LearnedOptimizer, flattened
from quickstudy.optimizers.tensors import (
    NEAR_NOTHING,
    TINY,
    Tensors,
    clock,
    none_yet,
    running,
)

DECAYS = (0.9, 0.99, 0.999)
SECOND_DECAYS = (0.999,)
TIMES = (1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5)
FEATURES = 3 + 2 * len(DECAYS)
"""The number of features, without the features of time."""
RARELY = 1e-6
"""v is at least about this share of its mean over the tensor, because some coordinates never
move."""


class Dense(eqx.Module):
    """A layer for n coordinates in parallel; features come first, as in `lstm.Layer`."""

    weight: Float[Array, "outputs inputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray):
        self.weight = jax.random.normal(key, (outputs, inputs)) / inputs**0.5
        self.bias = jnp.zeros(outputs)

    def __call__(self, x: Float[Array, "inputs n"]) -> Float[Array, "outputs n"]:
        return self.weight @ x + self.bias[:, None]


def dense_layers(sizes: tuple[int, ...], *, key: PRNGKeyArray) -> tuple[Dense, ...]:
    """Make layers from one size to the next."""
    keys = jax.random.split(key, len(sizes) - 1)
    return tuple(Dense(a, b, key=k) for a, b, k in zip(sizes[:-1], sizes[1:], keys, strict=True))


def perceptron(layers: tuple[Dense, ...], x: Float[Array, "inputs n"]) -> Float[Array, "outputs n"]:
    """Apply layers with ReLU between them."""
    for layer in layers[:-1]:
        x = jax.nn.relu(layer(x))
    return layers[-1](x)


class Progress(NamedTuple):
    """m, v and t."""

    first: Float[Array, "decays n"]
    second: Float[Array, "decays n"]
    steps: Int[Array, ""]


class CoordinatewiseMLP(LearnedOptimizer):
    """A perceptron with `hidden` units; with none it is linear in the features. λ₁ = `scale`,
    λ₂ = `log_scale`.

    >>> optimizer = CoordinatewiseMLP(hidden=(32, 32), key=key)
    """

    layers: tuple[Dense, ...]
    scale: float = eqx.field(static=True)
    log_scale: float = eqx.field(static=True)

    def __init__(
        self,
        *,
        hidden: tuple[int, ...] = (32, 32),
        scale: float = 0.01,
        log_scale: float = 0.1,
        key: PRNGKeyArray,
    ):
        self.layers = dense_layers((FEATURES + len(TIMES), *hidden, 2), key=key)
        self.scale = scale
        self.log_scale = log_scale

    def init(self, parameters: PyTree) -> Progress:
        n = sum(leaf.size for leaf in jax.tree.leaves(parameters))
        return Progress(none_yet(n, DECAYS), none_yet(n, SECOND_DECAYS), jnp.asarray(0))

    def update(
        self, gradients: PyTree, state: Progress, parameters: PyTree | None = None
    ) -> tuple[PyTree, Progress]:
        if parameters is None:
            raise ValueError("this optimiser looks at the parameters: give them to `update`")
        if not jax.tree.leaves(gradients):
            return gradients, state
        g, back = flattened(gradients)
        theta, _ = flattened(parameters)
        m = running(state.first, g, DECAYS)
        v = running(state.second, g**2, SECOND_DECAYS)
        x = features(Tensors.of(gradients), g, m, v, theta)
        time = jnp.broadcast_to(clock(state.steps, TIMES)[:, None], (len(TIMES), g.size))
        d, q = perceptron(self.layers, jnp.concatenate([x, time]))
        updates = back(-self.scale * d * jnp.exp(self.log_scale * q))
        return updates, Progress(m, v, state.steps + 1)


def features(
    tensors: Tensors,
    g: Float[Array, " n"],
    m: Float[Array, "decays n"],
    v: Float[Array, "one n"],
    theta: Float[Array, " n"],
) -> Float[Array, "features n"]:
    """Compute the features of each coordinate, the gradient first."""
    mean = jnp.maximum(tensors.means(v), TINY)
    r = jax.lax.rsqrt(v + RARELY * tensors.spread(mean))
    of_gradients = jnp.concatenate([g[None], m, m * r, r])
    return jnp.append(
        tensors.relative(of_gradients), tensors.relative(theta[None], NEAR_NOTHING), axis=0
    )
