"""Fully connected networks of the papers."""

import math

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.networks.layers import BatchNorm, Linear, Precision
from quickstudy.networks.network import Layer, Network, Statistics


class MLP(Network):
    """For each hidden layer: linear, batch norm with `normalise`, ReLU. Inputs are flattened;
    without hidden layers the network only flattens.

    MAML's sinusoid network is `hidden=(40, 40)`; its fully connected Omniglot network is
    `hidden=(256, 128, 64, 64), normalise=True` (Finn et al. 2017, appendix A).
    """

    layers: tuple[Linear, ...]
    norms: tuple[BatchNorm, ...]
    outputs: int = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        hidden: tuple[int, ...] = (40, 40),
        normalise: bool = False,
        precision: Precision = "float32",
        key: PRNGKeyArray,
    ):
        """`shape` is the shape of one input."""
        widths = (math.prod(shape), *hidden)
        keys = jax.random.split(key, len(hidden))
        self.layers = tuple(
            Linear(a, b, precision=precision, key=k)
            for a, b, k in zip(widths[:-1], hidden, keys, strict=True)
        )
        self.norms = tuple(BatchNorm(b) for b in hidden) if normalise else ()
        self.precision = precision
        self.outputs = widths[-1]

    def __call__(
        self, x: Float[Array, "n ..."], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        x = x.reshape(x.shape[0], -1)
        used = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if self.norms:
                x, m = self.norms[i](x, None if statistics is None else statistics[i])
                used.append(m)
            x = jax.nn.relu(x)
        return x, tuple(used)

    @property
    def normalises(self) -> bool:
        return bool(self.norms)

    def weight_layers(self) -> list[Layer]:
        # Within `eqx.tree_at`, something else stands in the place of an empty tuple.
        normalised = isinstance(self.norms, tuple) and self.norms
        norms = self.norms if normalised else (None,) * len(self.layers)
        return [
            Layer(linear.weight, linear.bias, norm)
            for linear, norm in zip(self.layers, norms, strict=True)
        ]
