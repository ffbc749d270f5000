"""The training of small networks on images: f(θ) is the cross-entropy on a minibatch (Andrychowicz
et al. 2016, sections 3.2 and 3.3).

On MNIST the paper trains a layer of 20 sigmoid units, minibatches of 128; on CIFAR-10 three blocks
of a 3 × 3 convolution with 16 kernels, batch normalisation, ReLU and 2 × 2 pooling, and a layer of
32 units.

Differences from the paper: weights start at N(0, 1/inputs) and biases at 0, which the paper does
not specify; minibatches are drawn with replacement."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, UInt8

from quickstudy.networks.layers import convolution, max_pool, moments
from quickstudy.task import Optimizee, TaskDistribution

Activation = Literal["sigmoid", "tanh", "relu"]
ACTIVATIONS = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu}
VARIANCE_FLOOR = 1e-5


class Classifier(Optimizee):
    """A network's training on given images: convolutional blocks, then dense layers."""

    images: UInt8[Array, "n h w c"]
    labels: Int[Array, " n"]
    which: Int[Array, ""]
    """The index of the activation."""
    classes: int = eqx.field(static=True)
    kernels: tuple[int, ...] = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True)
    activations: tuple[Activation, ...] = eqx.field(static=True)
    batch: int = eqx.field(static=True)

    def init(self, key: PRNGKeyArray) -> PyTree:
        """`blocks` of `kernel`, `scale` and `shift`, and `layers` of `weight` and `bias`."""
        _, height, width, channels = self.images.shape
        keys = iter(jax.random.split(key, len(self.kernels) + len(self.hidden) + 1))
        blocks, layers = [], []
        for outputs in self.kernels:
            kernel = jax.random.normal(next(keys), (3, 3, channels, outputs))
            kernel = kernel / (9 * channels) ** 0.5
            blocks.append(
                {"kernel": kernel, "scale": jnp.ones(outputs), "shift": jnp.zeros(outputs)}
            )
            height, width, channels = height // 2, width // 2, outputs
        inputs = height * width * channels
        for outputs in (*self.hidden, self.classes):
            weight = jax.random.normal(next(keys), (inputs, outputs)) / inputs**0.5
            layers.append({"weight": weight, "bias": jnp.zeros(outputs)})
            inputs = outputs
        return {"blocks": blocks, "layers": layers}

    def activate(self, x: Array) -> Array:
        """Apply the activation that was drawn."""
        return jax.lax.switch(self.which, [ACTIVATIONS[name] for name in self.activations], x)

    def logits(
        self, parameters: PyTree, images: UInt8[Array, "n h w c"]
    ) -> Float[Array, "n classes"]:
        """Compute the logits of images, normalised by this batch."""
        x = images.astype(float) / 255
        for block in parameters["blocks"]:
            x = convolution(x, block["kernel"])
            mean, variance = moments(x)
            x = (x - mean) * jax.lax.rsqrt(variance + VARIANCE_FLOOR)
            x = max_pool(self.activate(x * block["scale"] + block["shift"]))
        x = x.reshape(len(x), -1)
        for i, layer in enumerate(parameters["layers"]):
            x = x @ layer["weight"] + layer["bias"]
            if i < len(self.hidden):
                x = self.activate(x)
        return x

    def loss(self, parameters: PyTree, key: PRNGKeyArray) -> Float[Array, ""]:
        rows = jax.random.randint(key, (self.batch,), 0, len(self.labels))
        log_p = jax.nn.log_softmax(self.logits(parameters, self.images[rows]))
        return -jnp.mean(jnp.take_along_axis(log_p, self.labels[rows][:, None], axis=1))


class Classifiers(TaskDistribution[Classifier]):
    """Trainings that differ in their initial weights, their minibatches and, where there are
    several, their activations.

    >>> problems = Classifiers(images, labels, hidden=(20,), data="mnist")
    """

    images: UInt8[Array, "n h w c"]
    labels: Int[Array, " n"]
    classes: int = eqx.field(static=True, default=10)
    kernels: tuple[int, ...] = eqx.field(static=True, default=())
    hidden: tuple[int, ...] = eqx.field(static=True, default=(20,))
    activations: tuple[Activation, ...] = eqx.field(static=True, default=("sigmoid",))
    batch: int = eqx.field(static=True, default=128)
    data: str = eqx.field(static=True, default="images")
    """The name of the data in a protocol."""

    def sample(self, key: PRNGKeyArray) -> Classifier:
        which = jax.random.randint(key, (), 0, len(self.activations))
        return Classifier(
            self.images,
            self.labels,
            which,
            self.classes,
            self.kernels,
            self.hidden,
            self.activations,
            self.batch,
        )

    def protocol(self) -> dict[str, Any]:
        return {
            "problems": f"classification of {self.data}",
            "image": list(self.images.shape[1:]),
            "classes": self.classes,
            "kernels": list(self.kernels),
            "hidden": list(self.hidden),
            "activations": list(self.activations),
            "batch": self.batch,
        }
