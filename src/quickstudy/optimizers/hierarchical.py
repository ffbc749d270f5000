"""A hierarchy, after VeLO (Metz et al., "VeLO: Training versatile learned optimizers by scaling
up", 2022): an LSTM for each tensor watches how it is going there, and writes the weights of a tiny
network that every coordinate of the tensor asks.

For each tensor, at every step,

    h  ← LSTM(z, h)              z: statistics of the tensor's gradient, momenta and parameters, its
                                 rank and size, how late it is
    (c, l) = A h + a             mixing coefficients, and the logarithm of a step size
    W  = Σ_k c_k B_k             the tiny network's weights, of a learned bank B
    (d_i, q_i) = MLP_W(x_i)      for each coordinate i, with features x_i
    θ_i ← θ_i - λ exp(l) (m̂_i / √v̂_i + d_i) exp(q_i)

The LSTM costs as much for a large tensor as for a small one, the tiny network little for each
coordinate. All that goes in is relative to the tensor's own gradients, so that f and c f are the
same to it. As B's last layers are 0 at first, meta-training begins at Adam with the rate λ (Kingma
and Ba 2015), which it is hard to do much worse than (Harrison, Metz and Sohl-Dickstein, "A closer
look at learned optimization", NeurIPS 2022).

Differences from VeLO: tensors do not hear of each other, so that several problems can be minimised
as one; no loss and no total number of steps go in, as an Optax transformation is not told them; the
term of Adam's; the step size is not multiplied by the norm of the parameters, which the LSTM sees;
32 units where VeLO has 512, 8 networks in the bank where it has 256.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from quickstudy.optimizers.learned import LearnedOptimizer
from quickstudy.optimizers.lstm import Layer, Memory
from quickstudy.optimizers.mlp import Dense, dense_layers, perceptron
from quickstudy.optimizers.moments import (
    NEAR_NOTHING,
    TINY,
    Moments,
    clock,
    corrected,
    mean_square,
    no_moments,
    normalised,
    running,
)

DECAYS = (0.5, 0.9, 0.99)
ADAMS = 1
"""Which of them is Adam's."""
SECOND_DECAYS = (0.9, 0.999)
"""The second is Adam's."""
RARELY = 1e-8
"""v is at least this share of its mean over the tensor: some coordinates never move."""
TIMES = (3, 10, 30, 100, 300, 1000, 3000)
RANKS = 5
"""Tensors with as many axes or more count as one kind."""
MOST = 5.0
"""Logarithms of ratios go no further than this."""
STATISTICS = 3 + 2 * len(DECAYS) + RANKS + 1 + len(TIMES)
FEATURES = 3 + 2 * len(DECAYS)


class Watched(NamedTuple):
    """Moments of each tensor, the LSTM's memory of them, and t."""

    moments: Moments
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
        moments = no_moments(parameters, len(DECAYS), len(SECOND_DECAYS))
        units = self.readout.weight.shape[1]
        zero = jnp.zeros((units, len(jax.tree.leaves(parameters))), jnp.result_type(float))
        return Watched(moments, Memory(zero, zero), jnp.asarray(0))

    def update(
        self, gradients: PyTree, state: Watched, parameters: PyTree | None = None
    ) -> tuple[PyTree, Watched]:
        if parameters is None:
            raise ValueError("this optimiser looks at the parameters: give them to `update`")
        tensors, structure = jax.tree.flatten(gradients)
        if not tensors:
            return gradients, state
        steps = state.steps + 1
        first = jax.tree.map(lambda m, g: running(m, g, DECAYS), state.moments.first, gradients)
        second = jax.tree.map(
            lambda v, g: running(v, jnp.square(g.astype(v.dtype)), SECOND_DECAYS),
            state.moments.second,
            gradients,
        )
        seen = [
            Seen(
                g.astype(m.dtype),
                corrected(m, steps, DECAYS),
                corrected(v, steps, SECOND_DECAYS),
                theta.astype(m.dtype),
            )
            for g, m, v, theta in zip(
                tensors, *map(jax.tree.leaves, (first, second, parameters)), strict=True
            )
        ]
        time = clock(steps, TIMES)
        z = jnp.stack([jnp.concatenate([statistics(tensor), time]) for tensor in seen], axis=1)
        memory = self.layer(z, state.memory)
        written = self.readout(memory.hidden)

        def step(tensor: Seen, written: Float[Array, " bank+1"]) -> Float[Array, "..."]:
            network = jax.tree.map(lambda b: jnp.tensordot(written[:-1], b, 1), self.bank)
            x, adam = features(tensor)
            d, q = perceptron(network, x.reshape(FEATURES, -1))
            d, q = d.reshape(adam.shape), q.reshape(adam.shape)
            return -self.scale * jnp.exp(written[-1]) * (adam + d) * jnp.exp(q)

        updates = [
            step(tensor, column).astype(g.dtype)
            for g, tensor, column in zip(tensors, seen, written.T, strict=True)
        ]
        after = Watched(Moments(first, second), memory, steps)
        return jax.tree.unflatten(structure, updates), after


class Seen(NamedTuple):
    """One tensor, with moments that are corrected for their start."""

    g: Float[Array, "..."]
    m: Float[Array, "decays ..."]
    v: Float[Array, "decays ..."]
    theta: Float[Array, "..."]


def features(tensor: Seen) -> tuple[Float[Array, "features ..."], Float[Array, "..."]]:
    """x for each coordinate, and Adam's m̂ / √v̂."""
    g, m, v, theta = tensor
    mean = jnp.maximum(jnp.mean(v[1]), TINY)
    r = jax.lax.rsqrt(v[1] + RARELY * mean)
    ratio = m * r
    rare = jnp.log(v[1] / mean + RARELY) / MOST
    relative = [normalised(one) for one in m]
    x = jnp.stack([jnp.clip(g * r, -MOST, MOST), *ratio, *relative, rare, spread(theta)])
    return x, ratio[ADAMS]


def spread(theta: Float[Array, "..."]) -> Float[Array, "..."]:
    """Parameters relative to their tensor."""
    return normalised(theta, NEAR_NOTHING**2)


def statistics(tensor: Seen) -> Float[Array, " statistics"]:
    """z, but for the time."""
    g, m, v, theta = tensor
    fast, slow = (jnp.maximum(jnp.mean(one), TINY) for one in v)
    square = mean_square(g)
    squares = jnp.stack([mean_square(one) for one in m])
    ratios = jnp.log(jnp.stack([square, fast, *squares]) / slow) / 2
    along = jnp.stack([jnp.mean(g * one) for one in m]) * jax.lax.rsqrt(square * squares)
    size = jnp.log(mean_square(theta, NEAR_NOTHING**2)) / 2
    rank = jax.nn.one_hot(min(g.ndim, RANKS - 1), RANKS)
    shape = jnp.asarray([size, jnp.log(g.size)]) / MOST
    return jnp.concatenate([jnp.clip(ratios, -MOST, MOST), along, shape, rank])
