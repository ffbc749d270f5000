"""The convolutional network of Siamese networks (Koch et al. 2015, figure 4)."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.networks.layers import Linear, Precision, max_pool, multiply
from quickstudy.networks.network import Layer, Network, Statistics

LAYERS = ((10, 64), (7, 128), (4, 128), (4, 256))
"""Side of the kernel and channels of each convolution."""

FEATURES = 4096

SMALLEST = 65
"""Side of the smallest picture that the last convolution can process."""


class Convolution(eqx.Module):
    """A convolution without padding: an s × s picture becomes a picture of (s - k + 1)² pixels."""

    kernel: Float[Array, "k k c d"]
    bias: Float[Array, " d"]
    precision: Precision = eqx.field(static=True)

    def __init__(
        self, side: int, inputs: int, outputs: int, *, precision: Precision, key: PRNGKeyArray
    ):
        scale = (2 / (side**2 * inputs)) ** 0.5
        self.kernel = scale * jax.random.normal(key, (side, side, inputs, outputs))
        self.bias = jax.numpy.zeros(outputs)
        self.precision = precision

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 d"]:
        def inside(x: Array, kernel: Array) -> Array:
            return jax.lax.conv_general_dilated(
                x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )

        return multiply(inside, x, self.kernel, self.precision) + self.bias


class Koch(Network):
    """conv 64@10 × 10, 128@7 × 7, 128@4 × 4, 256@4 × 4, each with a ReLU, the first three with
    2 × 2 max-pooling; then 4096 sigmoid units. No normalisation.

    For 105 × 105 pictures, which the convolutions reduce to 6 × 6 × 256. Kernels are initialised by
    He's rule, the last layer like all linear layers here; the paper draws from N(0, 0.01²) and N(0,
    0.2²)."""

    convolutions: tuple[Convolution, ...]
    last: Linear
    outputs: int = eqx.field(static=True)

    def __init__(
        self, shape: tuple[int, ...], *, precision: Precision = "float32", key: PRNGKeyArray
    ):
        """`shape` is the shape of one input: (height, width, channels), at least 65 × 65."""
        *sides, channels = shape
        if min(sides) < SMALLEST:
            raise ValueError(f"Koch's network needs {SMALLEST} × {SMALLEST} pictures, not {sides}")
        *keys, for_last = jax.random.split(key, len(LAYERS) + 1)
        made = []
        for i, ((side, filters), k) in enumerate(zip(LAYERS, keys, strict=True)):
            made.append(Convolution(side, channels, filters, precision=precision, key=k))
            channels = filters
            sides = [s - side + 1 for s in sides]
            if i < len(LAYERS) - 1:
                sides = [s // 2 for s in sides]
        self.convolutions = tuple(made)
        height, width = sides
        self.last = Linear(height * width * channels, FEATURES, precision=precision, key=for_last)
        self.outputs = FEATURES
        self.precision = precision

    def __call__(
        self, x: Float[Array, "n h w c"], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        for convolution in self.convolutions[:-1]:
            x = max_pool(jax.nn.relu(convolution(x)))
        x = jax.nn.relu(self.convolutions[-1](x))
        return jax.nn.sigmoid(self.last(x.reshape(x.shape[0], -1))), ()

    @property
    def normalises(self) -> bool:
        return False

    def weight_layers(self) -> list[Layer]:
        return [Layer(layer.kernel, layer.bias) for layer in self.convolutions] + [
            Layer(self.last.weight, self.last.bias)
        ]
