"""A hierarchy, after VeLO (Metz et al., "VeLO: Training versatile learned optimizers by scaling
up", 2022): an LSTM for each tensor reads statistics of the minimisation, and computes the weights
of a tiny network that gives every coordinate of the tensor its step.

For each tensor, at every step,

    h  ← LSTM(z, h)              z: statistics of the tensor's gradient, momenta and parameters, its
                                 rank and size, how late it is
    (c, l) = A h + a             mixing coefficients, and the logarithm of a step size
    W  = Σ_k c_k B_k             the tiny network's weights, of a learned bank B
    (d_i, q_i) = MLP_W(x_i)      for each coordinate i, with features x_i
    θ_i ← θ_i - λ exp(l + q_i) (m̂_i / √v̂_i + d_i)         l + q_i and d_i within ±5

The cost of the LSTM does not depend on the size of the tensor, and the tiny network costs little
for each coordinate. All inputs are relative to the tensor's own gradients, so the steps on f and c
f are equal. The last layers of B are 0 at first, so meta-training starts at Adam with the rate λ
(Kingma and Ba 2015), a good start (Harrison, Metz and Sohl-Dickstein, "A closer look at learned
optimization", NeurIPS 2022).

Differences from VeLO: tensors do not exchange information, so several problems can be minimised as
one; the loss and the total number of steps are not inputs, because an Optax transformation does not
get them; the term of Adam; the step size is not multiplied by the norm of the parameters, which the
LSTM reads; 32 units where VeLO has 512, 8 networks in the bank where it has 256."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from quickstudy.optimizers.learned import LearnedOptimizer, flattened
from quickstudy.optimizers.lstm import Layer, Memory
from quickstudy.optimizers.mlp import Dense, dense_layers, perceptron
from quickstudy.optimizers.tensors import (
    NEAR_NOTHING,
    TINY,
    Tensors,
    clock,
    corrected,
    none_yet,
    running,
)

DECAYS = (0.5, 0.9, 0.99)
ADAMS = 1
"""The index of Adam's decay."""
SECOND_DECAYS = (0.9, 0.999)
"""The second is Adam's."""
RARELY = 1e-8
"""v is at least this share of its mean over the tensor, because some coordinates never move."""
TIMES = (3, 10, 30, 100, 300, 1000, 3000)
RANKS = 5
"""Tensors with this number of axes or more are one kind."""
MOST = 5.0
"""Bound on logarithms of ratios and on the terms of the networks."""
STATISTICS = 3 + 2 * len(DECAYS) + RANKS + 1 + len(TIMES)
FEATURES = 3 + 2 * len(DECAYS)


class Watched(NamedTuple):
    """m and v of each coordinate, the state of the LSTM of each tensor, and t."""

    first: Float[Array, "decays n"]
    second: Float[Array, "decays n"]
    memory: Memory
    steps: Int[Array, ""]


class HierarchicalLSTM(LearnedOptimizer):
    """An LSTM of `units` for each tensor, and a bank of networks with `hidden` units. λ = `scale`.

    >>> optimizer = HierarchicalLSTM(key=key)
    >>> transformation = optax.chain(optax.add_decayed_weights(1e-4), optimizer.as_optax())
    """

    layer: Layer
    readout: Dense
    """A and a"""
    bank: tuple[Dense, ...]
    """B, along the leading axis"""
    scale: float = eqx.field(static=True)

    def __init__(
        self,
        *,
        units: int = 32,
        hidden: tuple[int, ...] = (8,),
        bank: int = 8,
        scale: float = 0.01,
        key: PRNGKeyArray,
    ):
        for_layer, for_readout, for_bank = jax.random.split(key, 3)
        self.layer = Layer(STATISTICS, units, key=for_layer)
        readout = Dense(units, bank + 1, key=for_readout)
        even = jnp.full(bank + 1, bank**-0.5).at[-1].set(0.0)
        self.readout = eqx.tree_at(
            lambda r: (r.weight, r.bias), readout, (readout.weight.at[-1].set(0.0), even)
        )
        sizes = (FEATURES, *hidden, 2)
        made = eqx.filter_vmap(lambda k: dense_layers(sizes, key=k))(
            jax.random.split(for_bank, bank)
        )
        self.bank = eqx.tree_at(lambda b: b[-1].weight, made, replace_fn=jnp.zeros_like)
        self.scale = scale

    def init(self, parameters: PyTree) -> Watched:
        sizes = Tensors.of(parameters).sizes
        first, second = none_yet(sum(sizes), DECAYS), none_yet(sum(sizes), SECOND_DECAYS)
        zero = jnp.zeros((self.readout.weight.shape[1], len(sizes)), first.dtype)
        return Watched(first, second, Memory(zero, zero), jnp.asarray(0))

    def update(
        self, gradients: PyTree, state: Watched, parameters: PyTree | None = None
    ) -> tuple[PyTree, Watched]:
        if parameters is None:
            raise ValueError("this optimiser looks at the parameters: give them to `update`")
        leaves = jax.tree.leaves(gradients)
        if not leaves:
            return gradients, state
        tensors, steps = Tensors.of(gradients), state.steps + 1
        g, back = flattened(gradients)
        theta, _ = flattened(parameters)
        first = running(state.first, g, DECAYS)
        second = running(state.second, g**2, SECOND_DECAYS)
        m, v = corrected(first, steps, DECAYS), corrected(second, steps, SECOND_DECAYS)

        kinds = shapes(leaves)
        time = jnp.broadcast_to(clock(steps, TIMES)[:, None], (len(TIMES), len(leaves)))
        z = jnp.concatenate([statistics(tensors, g, m, v, theta), kinds, time])
        memory = self.layer(z, state.memory)
        *mixture, size = self.readout(memory.hidden)
        x, adam = features(tensors, g, m, v, theta)
        d, q = self.tiny_networks(jnp.stack(mixture), tensors.split(x))
        length = self.scale * jnp.exp(bounded(tensors.spread(size) + q))
        return back(-length * (adam + bounded(d))), Watched(first, second, memory, steps)

    def tiny_networks(
        self, mixture: Float[Array, "bank tensors"], x: list[Float[Array, "features size"]]
    ) -> Float[Array, "2 n"]:
        """Compute d and q of all coordinates, each by the network of its tensor."""
        written = jax.tree.map(lambda b: jnp.tensordot(mixture, b, (0, 0)), self.bank)
        of_each = [
            perceptron(jax.tree.map(lambda w, i=i: w[i], written), of_tensor)
            for i, of_tensor in enumerate(x)
        ]
        return jnp.concatenate(of_each, axis=1)


def bounded(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Bound smoothly by `MOST`, with little change of small values."""
    return MOST * jnp.tanh(x / MOST)


def features(
    tensors: Tensors,
    g: Float[Array, " n"],
    m: Float[Array, "decays n"],
    v: Float[Array, "decays n"],
    theta: Float[Array, " n"],
) -> tuple[Float[Array, "features n"], Float[Array, " n"]]:
    """Compute x of each coordinate, and Adam's m̂ / √v̂."""
    mean = tensors.spread(jnp.maximum(tensors.means(v[1]), TINY))
    r = jax.lax.rsqrt(v[1] + RARELY * mean)
    ratios = m * r
    rare = jnp.log(v[1] / mean + RARELY) / MOST
    at = tensors.relative(theta[None], NEAR_NOTHING)
    x = [bounded(g * r)[None], ratios, tensors.relative(m), rare[None], at]
    return jnp.concatenate(x), ratios[ADAMS]


def statistics(
    tensors: Tensors,
    g: Float[Array, " n"],
    m: Float[Array, "decays n"],
    v: Float[Array, "decays n"],
    theta: Float[Array, " n"],
) -> Float[Array, "statistics tensors"]:
    """Compute statistics of a minimisation: logarithms of root mean squares relative to the one of
    all gradients so far, cosines of the gradient with its running means, and the size of the
    parameters."""
    every = jnp.concatenate([v, g[None] ** 2, m**2, g * m, theta[None] ** 2])
    means = tensors.means(every)
    fast, slow, square, *rest = jnp.maximum(means[: 3 + len(m)], TINY)
    squares = jnp.stack(rest)
    ratios = jnp.log(jnp.stack([fast, square, *rest]) / slow) / 2
    along = means[3 + len(m) : -1] * jax.lax.rsqrt(square) * jax.lax.rsqrt(squares)
    size = jnp.log(jnp.maximum(means[-1:], NEAR_NOTHING)) / 2
    return jnp.concatenate([bounded(ratios), along, size / MOST])


def shapes(leaves: list[Array]) -> Float[Array, "kinds tensors"]:
    """Encode the rank of each tensor and the logarithm of its size."""
    rank = jax.nn.one_hot(jnp.asarray([min(leaf.ndim, RANKS - 1) for leaf in leaves]), RANKS)
    size = jnp.log(jnp.asarray([[leaf.size for leaf in leaves]])) / MOST
    return jnp.concatenate([rank.T, size])
