"""Layers that stay fast where weights differ from task to task (under `vmap`) and where derivatives
are differentiated again. Standard layers are slow in both cases on a CPU.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

VARIANCE_FLOOR = 1e-5

Precision = Literal["float32", "bfloat16"]
"""The precision of the factors of matrix products and convolutions. Everything else (parameters,
sums within a product, biases, normalisation, losses) is float32."""


def multiply(
    product: Callable[[Array, Array], Array], x: Array, weight: Array, precision: Precision
) -> Array:
    """product(x, weight), with the factors in `precision`.

    The result is rounded too, and therefore its cotangent. So the products of first and second
    derivatives also have bfloat16 factors. (With `preferred_element_type=float32` they would be
    products of float32 numbers, and these are most of a training step.)"""
    if precision == "float32":
        return product(x, weight)
    return product(x.astype(precision), weight.astype(precision)).astype(x.dtype)


class Moments(NamedTuple):
    """The mean and variance of the inputs of a batch normalisation, for each channel."""

    mean: Float[Array, " channels"]
    variance: Float[Array, " channels"]


class Linear(eqx.Module):
    """x W + b, on the last axis.

    W and b are drawn from U[-r, r] with r = 1 / √inputs. Biases matter with few inputs: with zero
    biases and one input, every ReLU would have its kink at zero."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]
    precision: Precision = eqx.field(static=True)

    def __init__(
        self, inputs: int, outputs: int, *, precision: Precision = "float32", key: PRNGKeyArray
    ):
        self.precision = precision
        r = inputs**-0.5
        for_weight, for_bias = jax.random.split(key)
        self.weight = jax.random.uniform(for_weight, (inputs, outputs), minval=-r, maxval=r)
        self.bias = jax.random.uniform(for_bias, (outputs,), minval=-r, maxval=r)

    def __call__(self, x: Float[Array, "*n inputs"]) -> Float[Array, "*n outputs"]:
        return multiply(jnp.matmul, x, self.weight, self.precision) + self.bias


def patches(x: Float[Array, "n h w c"], size: int, stride: int) -> Float[Array, "n h2 w2 k"]:
    """Copy the size × size neighbourhood of each output position to a vector (im2col), with zeros
    beyond the border so that h2 = ⌈h / stride⌉. k = size² · c, channels fastest."""
    height, width = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
    pad_h = max((height - 1) * stride + size - x.shape[1], 0)
    pad_w = max((width - 1) * stride + size - x.shape[2], 0)
    x = jnp.pad(
        x, ((0, 0), (pad_h // 2, pad_h - pad_h // 2), (pad_w // 2, pad_w - pad_w // 2), (0, 0))
    )
    rows, columns = (height - 1) * stride + 1, (width - 1) * stride + 1
    shifted = [
        x[:, i : i + rows : stride, j : j + columns : stride]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.concatenate(shifted, axis=-1)


def convolution_by_patches(
    x: Float[Array, "n h w c"], kernel: Float[Array, "k k c d"], stride: int
) -> Float[Array, "n h2 w2 d"]:
    """One matrix product over `patches`."""
    p = patches(x, kernel.shape[0], stride)
    out = p.reshape(-1, p.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])
    return out.reshape(*p.shape[:3], -1)


def convolution_by_columns(
    x: Float[Array, "n h w c"], kernel: Float[Array, "k k c d"]
) -> Float[Array, "n h w d"]:
    """With stride 1: only neighbours within a row are copied next to each other. One matrix product
    computes the contribution of each row to each of the k rows around it, and these are summed.
    With about as many outputs as inputs, this moves two thirds of the bytes of `patches`, forward
    and backward."""
    size, _, c, d = kernel.shape
    before, after = (size - 1) // 2, size // 2
    n, h, w, _ = x.shape
    x = jnp.pad(x, ((0, 0), (0, 0), (before, after), (0, 0)))
    columns = jnp.concatenate([x[:, :, j : j + w] for j in range(size)], axis=-1)
    across = kernel.transpose(1, 2, 0, 3).reshape(size * c, size * d)
    rows = (columns.reshape(-1, size * c) @ across).reshape(n, h, w, size * d)
    rows = jnp.pad(rows, ((0, 0), (before, after), (0, 0), (0, 0)))
    out = rows[:, :h, :, :d]
    for i in range(1, size):
        out = out + rows[:, i : i + h, :, i * d : (i + 1) * d]
    return out


def convolution_by_xla(
    x: Float[Array, "n h w c"], kernel: Float[Array, "k k c d"], stride: int
) -> Float[Array, "n h2 w2 d"]:
    """The compiler's own convolution."""
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def convolution(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "k k c d"],
    stride: int = 1,
    precision: Precision = "float32",
) -> Float[Array, "n h2 w2 d"]:
    """Convolution with zero padding, in the formulation that is faster on the backend.

    With a kernel for each task, the compiler's convolution becomes a grouped convolution. On a CPU
    its weight gradients are several times slower than a matrix product."""
    narrow = 2 * kernel.shape[2] < kernel.shape[3]  # few inputs, whose patches are small
    if jax.default_backend() != "cpu":
        by = partial(convolution_by_xla, stride=stride)
    elif stride > 1 or narrow or precision != "float32":
        by = partial(convolution_by_patches, stride=stride)
    else:
        by = convolution_by_columns
    return multiply(by, x, kernel, precision)


def max_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """Take the maximum of each 2 × 2 square; an odd last row or column is dropped."""
    _, h, w, _ = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2]
    top = jnp.maximum(x[:, ::2, ::2], x[:, ::2, 1::2])
    return jnp.maximum(top, jnp.maximum(x[:, 1::2, ::2], x[:, 1::2, 1::2]))


def moments(x: Float[Array, "*n channels"]) -> Moments:
    """Mean and (biased) variance of each channel, over all other axes."""
    axes = tuple(range(x.ndim - 1))
    mean = jnp.mean(x, axes)
    return Moments(mean, jnp.maximum(jnp.mean(x**2, axes) - mean**2, 0.0))


class BatchNorm(eqx.Module):
    """Batch normalisation (Ioffe and Szegedy 2015): γ (x - μ) / √(σ² + ε) + β.

    μ and σ² come from the current batch, or are given; there is no hidden state."""

    gamma: Float[Array, " channels"]
    beta: Float[Array, " channels"]

    def __init__(self, channels: int):
        self.gamma = jnp.ones(channels)
        self.beta = jnp.zeros(channels)

    def __call__(
        self, x: Float[Array, "*n channels"], given: Moments | None = None
    ) -> tuple[Float[Array, "*n channels"], Moments]:
        used = self.moments(x) if given is None else given
        scale, shift = self.affine(used)
        return x * scale + shift, used

    def moments(self, x: Float[Array, "*n channels"]) -> Moments:
        """Those of the batch at hand, over all axes but the last."""
        return moments(x)

    def affine(self, used: Moments) -> tuple[Float[Array, " channels"], Float[Array, " channels"]]:
        """Return the scale and shift that normalise by these moments."""
        scale = self.gamma * jax.lax.rsqrt(used.variance + VARIANCE_FLOOR)
        return scale, self.beta - used.mean * scale

    def modulated(
        self, scale: Float[Array, " channels"], shift: Float[Array, " channels"]
    ) -> "BatchNorm":
        """Apply (1 + scale) h + shift after the normalisation h. Since h = γ x̂ + β, this is a
        normalisation with (1 + scale) γ and (1 + scale) β + shift."""
        return eqx.tree_at(
            lambda norm: (norm.gamma, norm.beta),
            self,
            ((1 + scale) * self.gamma, (1 + scale) * self.beta + shift),
        )
