"""The four-block convolutional network of few-shot papers (Vinyals et al. 2016, section 4.1)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.networks.layers import (
    BatchNorm,
    Moments,
    Precision,
    convolution,
    max_pool,
)
from quickstudy.networks.network import Layer, Network, Statistics


class ConvBlock(eqx.Module):
    """3 × 3 convolution, batch normalisation, ReLU, and 2 × 2 max-pooling unless it strides."""

    kernel: Float[Array, "3 3 c d"]
    norm: BatchNorm
    stride: int = eqx.field(static=True)
    precision: Precision = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        *,
        precision: Precision = "float32",
        key: PRNGKeyArray,
    ):
        scale = (2 / (9 * inputs)) ** 0.5
        self.kernel = jax.random.normal(key, (3, 3, inputs, outputs)) * scale
        self.norm = BatchNorm(outputs)
        self.stride = stride
        self.precision = precision

    def __call__(
        self, x: Float[Array, "n h w c"], given: Moments | None
    ) -> tuple[Float[Array, "n h2 w2 d"], Moments]:
        x = convolution(x, self.kernel, self.stride, self.precision)
        if self.stride > 1:
            x, used = self.norm(x, given)
            return jax.nn.relu(x), used
        # Normalisation is monotone in each channel, so pooling before it gives the same numbers
        # and leaves a quarter of them to normalise; where it falls, the smallest is pooled.
        used = self.norm.moments(x) if given is None else given
        scale, shift = self.norm.affine(used)
        sign = jnp.where(scale < 0, -1.0, 1.0)
        return jax.nn.relu(max_pool(x * sign) * (scale * sign) + shift), used


class Conv4(Network):
    """{conv 3 × 3, batch norm, ReLU, max-pool} × 4.

    With `stride=1` blocks pool, and 28 × 28 inputs become 1 × 1 × filters features: the form of the
    metric papers. With `stride=2` they stride instead, and the remaining 2 × 2 positions are
    averaged: MAML's form for Omniglot (Finn et al. 2017, appendix A.1 and code). With `flat` as
    well, the features of these positions are concatenated: Reptile's form (Nichol et al. 2018,
    code)."""

    blocks: tuple[ConvBlock, ...]
    outputs: int = eqx.field(static=True)
    averages: bool = eqx.field(static=True)
    """Whether features are means over the remaining positions."""

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        filters: int = 64,
        stride: int = 1,
        flat: bool = False,
        precision: Precision = "float32",
        key: PRNGKeyArray,
    ):
        """`shape` is the shape of one input: (height, width, channels), at least 16 × 16."""
        height, width, channels = shape
        if min(height, width) < 16:
            raise ValueError(f"conv4 halves its input four times; {height} × {width} is too small")
        widths = (channels, filters, filters, filters)
        self.blocks = tuple(
            ConvBlock(c, filters, stride, precision=precision, key=k)
            for c, k in zip(widths, jax.random.split(key, 4), strict=True)
        )
        self.precision = precision
        self.averages = stride > 1 and not flat
        if stride > 1:  # an odd side leaves the larger half
            height, width = height + 15, width + 15
        places = 1 if self.averages else (height // 16) * (width // 16)
        self.outputs = filters * places

    def __call__(
        self, x: Float[Array, "n h w c"], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        used = []
        for i, block in enumerate(self.blocks):
            x, m = block(x, None if statistics is None else statistics[i])
            used.append(m)
        if self.averages:
            x = jnp.mean(x, axis=(1, 2))
        return x.reshape(x.shape[0], -1), tuple(used)

    @property
    def normalises(self) -> bool:
        return True

    def weight_layers(self) -> list[Layer]:
        return [Layer(block.kernel, norm=block.norm) for block in self.blocks]
