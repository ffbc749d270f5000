"""What every network here is: a function of a batch of inputs that says which batch statistics
it normalised with.
"""

import abc
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray, Shaped

from quickstudy.networks.layers import BatchNorm, Linear, Moments, Precision

Statistics = tuple[Moments, ...]
"""One entry for each normalised layer, in order."""

Normalisation = Literal["batch", "support", "running"]
"""Whose statistics normalise the queries: those of the queries themselves (`batch`, which is
transductive), of the support set (`support`), or of the training tasks (`running`)."""


class Layer(NamedTuple):
    """A layer with weights: x W + b or a convolution, and the normalisation that follows it. Its
    activations are on the last axis of each array."""

    weight: Float[Array, "*inputs outputs"]
    """W. For a convolution, its kernel; for tokens, their embeddings."""
    bias: Float[Array, " outputs"] | None = None
    norm: BatchNorm | None = None


class Network(eqx.Module):
    """A function from a batch of inputs to a batch of feature vectors or outputs.

    >>> features, statistics = network(x)           # normalised by the batch itself
    >>> more, _ = network(x2, statistics)           # … and by the statistics of that first batch
    """

    outputs: eqx.AbstractVar[int]
    """The length of one output vector."""
    precision: Precision = eqx.field(static=True, default="float32", kw_only=True)
    """What its matrix products and convolutions are computed in."""

    @abc.abstractmethod
    def __call__(
        self, x: Shaped[Array, "n ..."], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        """Outputs, and the statistics that they were normalised with: those given, or those
        of the batch. Empty for a network without batch normalisation."""

    @property
    @abc.abstractmethod
    def normalises(self) -> bool:
        """Whether there is batch normalisation in it."""

    def weight_layers(self) -> list[Layer]:
        """Name the layers that have weights, from the inputs to the outputs.

        Methods that transform, mask, condition or freeze a network layer by layer see these alone,
        so a network names all of them: every array of its parameters is in one. What it returns is
        made of its own leaves, so it says where they are in other trees of this form, gradients
        say: `eqx.tree_at(lambda n: n.weight_layers()[0].weight, network, weight)`.

        Raises `ValueError` where the network does not name them, as a new one does not.
        """
        raise ValueError(
            f"{type(self).__name__} does not name its layers (`weight_layers`), and this method "
            "changes a network layer by layer"
        )


class WithHead(Network):
    """A network and a linear layer on top of it."""

    body: Network
    head: Linear
    outputs: int = eqx.field(static=True)

    def __init__(self, body: Network, outputs: int, *, key: PRNGKeyArray):
        self.body = body
        self.precision = body.precision
        self.head = Linear(body.outputs, outputs, precision=body.precision, key=key)
        self.outputs = outputs

    def __call__(
        self, x: Shaped[Array, "n ..."], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        features, statistics = self.body(x, statistics)
        return self.head(features), statistics

    @property
    def normalises(self) -> bool:
        return self.body.normalises

    def weight_layers(self) -> list[Layer]:
        return [*self.body.weight_layers(), Layer(self.head.weight, self.head.bias)]


AnyNetwork = TypeVar("AnyNetwork", bound=Network)


def normalisations(network: Network) -> list[BatchNorm]:
    """Every batch normalisation of a network, in the order of its `weight_layers`."""
    return [layer.norm for layer in network.weight_layers() if layer.norm is not None]


def modulated(
    network: AnyNetwork,
    scales: Sequence[Float[Array, " _"]],
    shifts: Sequence[Float[Array, " _"]],
) -> AnyNetwork:
    """The network with (1 + scale) h + shift after each of its `normalisations` h, channel by
    channel (FiLM: Perez et al. 2018, eq. 2).

    Since h = γ x̂ + β, that is the same network with (1 + scale) γ and (1 + scale) β + shift.

    >>> zeros = [jnp.zeros_like(norm.gamma) for norm in normalisations(network)]
    >>> modulated(network, zeros, zeros)      # the network itself
    """
    norms = [
        eqx.tree_at(
            lambda n: (n.gamma, n.beta),
            norm,
            ((1 + scale) * norm.gamma, (1 + scale) * norm.beta + shift),
        )
        for norm, scale, shift in zip(normalisations(network), scales, shifts, strict=True)
    ]
    return eqx.tree_at(normalisations, network, norms) if norms else network


def query_statistics(
    mode: Normalisation, of_support: Statistics, population: Statistics | None
) -> Statistics | None:
    """The statistics to normalise queries with; None stands for the queries' own.

    In mode `running` there are none yet while training goes on (`population` is None): training
    normalises each batch by itself.
    """
    return {"batch": None, "support": of_support, "running": population}[mode]


def pooled(batches: Statistics) -> Statistics:
    """The statistics of equally large batches taken together; leaves have a leading batch axis.

    By the law of total variance σ² = E[σ_b²] + Var[μ_b].
    """
    return tuple(
        Moments(jnp.mean(m.mean, 0), jnp.mean(m.variance, 0) + jnp.var(m.mean, 0)) for m in batches
    )


def population_statistics(
    network: Network,
    draw: Callable[[PRNGKeyArray], Shaped[Array, "n ..."]],
    keys: Key[Array, " batches"],
) -> Statistics:
    """Statistics of the training inputs, of which `draw` gives a batch for each of the `keys`
    (Wu and Johnson 2021, section 3: more faithful than a running average, and training has no
    state beyond its parameters)."""
    return pooled(jax.lax.map(lambda key: network(draw(key))[1], keys))
