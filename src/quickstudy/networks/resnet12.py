"""ResNet-12, the deeper network of few-shot papers (Oreshkin et al. 2018; Yoon et al. 2019)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.networks.layers import BatchNorm, Moments, Precision, convolution, max_pool
from quickstudy.networks.network import Layer, Network, Statistics

SHORTCUT = 3
"""The index of the shortcut among the layers of a block."""


class ResidualBlock(eqx.Module):
    """Three 3 × 3 convolutions, each with batch normalisation and a ReLU between them, beside a
    shortcut: a 1 × 1 convolution with batch normalisation. The sum, a ReLU, 2 × 2 max-pooling."""

    kernels: tuple[Float[Array, "_ _ _ _"], ...]
    """The kernels of the three convolutions and of the shortcut."""
    norms: tuple[BatchNorm, ...]
    precision: Precision = eqx.field(static=True)

    def __init__(
        self, inputs: int, outputs: int, *, precision: Precision = "float32", key: PRNGKeyArray
    ):
        shapes = [(3, inputs), (3, outputs), (3, outputs), (1, inputs)]
        self.kernels = tuple(
            jax.random.normal(k, (size, size, c, outputs)) * (2 / (size**2 * c)) ** 0.5
            for (size, c), k in zip(shapes, jax.random.split(key, 4), strict=True)
        )
        self.norms = tuple(BatchNorm(outputs) for _ in shapes)
        self.precision = precision

    def __call__(
        self, x: Float[Array, "n h w c"], given: tuple[Moments, ...] | None
    ) -> tuple[Float[Array, "n h2 w2 d"], tuple[Moments, ...]]:
        used = []

        def layer(i: int, x: Array) -> Array:
            y = convolution(x, self.kernels[i], precision=self.precision)
            y, m = self.norms[i](y, None if given is None else given[i])
            used.append(m)
            return y

        h = layer(2, jax.nn.relu(layer(1, jax.nn.relu(layer(0, x)))))
        return max_pool(jax.nn.relu(h + layer(SHORTCUT, x))), tuple(used)


class ResNet12(Network):
    """Four residual blocks of `filters` × 1, 2, 4 and 8 channels, and the mean over the remaining
    positions.

    Differences from the papers: TADAM's has swish activations and pools three times; TapNet's has
    3 × 3 shortcuts and dropout.

    >>> ResNet12((84, 84, 3), key=key).outputs
    512
    """

    blocks: tuple[ResidualBlock, ...]
    outputs: int = eqx.field(static=True)

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        filters: int = 64,
        precision: Precision = "float32",
        key: PRNGKeyArray,
    ):
        """`shape` is the shape of one input: (height, width, channels), at least 16 × 16."""
        height, width, channels = shape
        if min(height, width) < 16:
            raise ValueError(
                f"resnet12 halves its input four times; {height} × {width} is too small"
            )
        widths = (channels, filters, 2 * filters, 4 * filters, 8 * filters)
        self.blocks = tuple(
            ResidualBlock(c, d, precision=precision, key=k)
            for c, d, k in zip(widths[:-1], widths[1:], jax.random.split(key, 4), strict=True)
        )
        self.precision = precision
        self.outputs = widths[-1]

    def __call__(
        self, x: Float[Array, "n h w c"], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        used: Statistics = ()
        for block in self.blocks:
            # Four layers a block; those of the blocks before have been used already.
            given = None if statistics is None else statistics[len(used) : len(used) + 4]
            x, m = block(x, given)
            used += m
        return jnp.mean(x, axis=(1, 2)), used

    @property
    def normalises(self) -> bool:
        return True

    def weight_layers(self) -> list[Layer]:
        return [
            Layer(kernel, norm=norm)
            for block in self.blocks
            for kernel, norm in zip(block.kernels, block.norms, strict=True)
        ]
