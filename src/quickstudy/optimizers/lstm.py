"""The LSTM optimiser (Andrychowicz et al., "Learning to learn by gradient descent by gradient
descent", NeurIPS 2016).

Every coordinate of θ has its own LSTM state; all share the weights φ (section 2.1):

    (z_i, h_i) ← LSTM_φ(p(∇_i f(θ)), h_i),     θ_i ← θ_i + s (w·z_i + b)

with two layers of 20 units. Gradients vary over many orders of magnitude, so the network reads
their logarithm and their sign (appendix A):

    p(∇) = (log|∇| / p, sgn ∇)  where |∇| ≥ e^-p,   else (-1, e^p ∇),       p = 10

s = 0.01 keeps the first updates small.

Kinds of parameters may have separate weights, as in the paper's experiment on CIFAR-10 (section
3.3): one set for kernels of convolutions, another for all other parameters.

Difference from the paper: s, which is in the authors' code.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.networks.recurrent import log_and_sign
from quickstudy.optimizers.learned import LearnedOptimizer, flattened


class Memory(NamedTuple):
    """h and c of one layer, for each coordinate."""

    hidden: Float[Array, "units n"]
    cell: Float[Array, "units n"]


class Layer(eqx.Module):
    """An LSTM layer (Hochreiter and Schmidhuber 1997, with forget gates) for n parallel sequences.
    Units come first, so the values of a gate for all coordinates are contiguous in memory."""

    weight: Float[Array, "gates features"]
    """The weights of the gates i, f, g, o, one below the other, on (x, h)."""
    bias: Float[Array, " gates"]

    def __init__(self, inputs: int, units: int, *, key: PRNGKeyArray):
        r = units**-0.5
        self.weight = jax.random.uniform(key, (4 * units, inputs + units), minval=-r, maxval=r)
        self.bias = jnp.zeros(4 * units)

    def __call__(self, x: Float[Array, "inputs n"], memory: Memory) -> Memory:
        gates = self.weight @ jnp.concatenate([x, memory.hidden]) + self.bias[:, None]
        i, f, g, o = jnp.split(gates, 4)
        cell = jax.nn.sigmoid(f) * memory.cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        return Memory(jax.nn.sigmoid(o) * jnp.tanh(cell), cell)


class CoordinatewiseLSTM(LearnedOptimizer):
    """`layers` LSTM layers of `units` for each coordinate, and s = `scale`.

    >>> optimizer = CoordinatewiseLSTM(key=key)
    >>> transformation = optax.chain(optax.clip(1.0), optimizer.as_optax())
    """

    layers: tuple[Layer, ...]
    weight: Float[Array, " units"]
    """w"""
    bias: Float[Array, ""]
    """b"""
    scale: float = eqx.field(static=True)
    p: float = eqx.field(static=True)

    def __init__(
        self,
        *,
        layers: int = 2,
        units: int = 20,
        scale: float = 0.01,
        p: float = 10.0,
        key: PRNGKeyArray,
    ):
        keys = jax.random.split(key, layers + 1)
        inputs = (2, *[units] * (layers - 1))
        self.layers = tuple(Layer(n, units, key=k) for n, k in zip(inputs, keys, strict=False))
        r = units**-0.5
        self.weight = jax.random.uniform(keys[-1], (units,), minval=-r, maxval=r)
        self.bias = jnp.zeros(())
        self.scale = scale
        self.p = p

    def init(self, parameters: PyTree) -> tuple[Memory, ...]:
        n = sum(leaf.size for leaf in jax.tree.leaves(parameters))
        zero = jnp.zeros((self.weight.size, n), self.weight.dtype)
        return tuple(Memory(zero, zero) for _ in self.layers)

    def update(
        self, gradients: PyTree, state: tuple[Memory, ...], parameters: PyTree | None = None
    ) -> tuple[PyTree, tuple[Memory, ...]]:
        coordinates, back = flattened(gradients)
        x, after = log_and_sign(coordinates, self.p).T, []
        for layer, memory in zip(self.layers, state, strict=True):
            memory = layer(x, memory)
            after.append(memory)
            x = memory.hidden
        return back(self.scale * (self.weight @ x + self.bias)), tuple(after)


class ByKind(LearnedOptimizer):
    """One optimiser for arrays with three axes or more, the kernels of convolutions, and another
    for all other arrays.

    >>> ByKind(CoordinatewiseLSTM(key=one), CoordinatewiseLSTM(key=other))
    """

    kernels: LearnedOptimizer
    others: LearnedOptimizer

    def init(self, parameters: PyTree) -> tuple[PyTree, PyTree]:
        kernels, others = eqx.partition(parameters, is_kernel)
        return self.kernels.init(kernels), self.others.init(others)

    def update(
        self, gradients: PyTree, state: tuple[PyTree, PyTree], parameters: PyTree | None = None
    ) -> tuple[PyTree, tuple[PyTree, PyTree]]:
        kernels, others = eqx.partition(gradients, is_kernel)
        theta = (None, None) if parameters is None else eqx.partition(parameters, is_kernel)
        of_kernels, first = self.kernels.update(kernels, state[0], theta[0])
        of_others, second = self.others.update(others, state[1], theta[1])
        return eqx.combine(of_kernels, of_others), (first, second)


def is_kernel(leaf: Array) -> bool:
    """Whether an array is the kernel of a convolution."""
    return leaf.ndim > 2
