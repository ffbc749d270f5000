"""The interface of networks: functions of a batch of inputs that also return the batch statistics
of their normalisation."""

import abc
from collections.abc import Sequence
from inspect import signature
from typing import Any, Literal, NamedTuple, TypeVar

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from quickstudy.errors import UserError
from quickstudy.networks.layers import BatchNorm, Linear, Moments, Precision

Statistics = tuple[Moments, ...]
"""One entry for each normalised layer, in order."""

Normalisation = Literal["batch", "support", "running"]
"""The source of the statistics that normalise queries: the queries themselves (`batch`, which is
transductive), the support set (`support`), or the training tasks (`running`)."""


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
    """The precision of its matrix products and convolutions."""

    @abc.abstractmethod
    def __call__(
        self, x: Shaped[Array, "n ..."], statistics: Statistics | None = None
    ) -> tuple[Float[Array, "n outputs"], Statistics]:
        """Compute outputs, and return the statistics that normalised them: the given statistics, or
        the statistics of the batch. Without batch normalisation they are `()`."""

    @property
    @abc.abstractmethod
    def normalises(self) -> bool:
        """Whether the network has batch normalisation."""

    def weight_layers(self) -> list[Layer]:
        """Name the layers that have weights, from the inputs to the outputs.

        Methods that transform, mask, condition or freeze a network layer by layer use only these
        layers, so together they must hold every array of its parameters. The returned layers hold
        the leaves of the network itself, so the method also finds them in trees of the same form,
        such as gradients: `eqx.tree_at(lambda n: n.weight_layers()[0].weight, network, weight)`.

        Raises `ValueError` where the network does not name its layers, which is the default."""
        raise ValueError(
            f"{type(self).__name__} does not name its layers (`weight_layers`), and this method "
            "changes a network layer by layer"
        )


class WithHead(Network):
    """A network and a linear layer on top of it."""

    body: Network
    head: Linear
    outputs: int = eqx.field(static=True)

    def __new__(cls, *arguments: Any, **options: Any):
        require_networks(cls, arguments, options)
        return super().__new__(cls)

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
    """List the batch normalisations of a network, in the order of its `weight_layers`."""
    return [layer.norm for layer in network.weight_layers() if layer.norm is not None]


def modulated(
    network: AnyNetwork,
    scales: Sequence[Float[Array, " _"]],
    shifts: Sequence[Float[Array, " _"]],
) -> AnyNetwork:
    """Return the network with (1 + scale) h + shift after each of its `normalisations` h, channel
    by channel (FiLM: Perez et al. 2018, eq. 2).

    >>> zeros = [jnp.zeros_like(norm.gamma) for norm in normalisations(network)]
    >>> modulated(network, zeros, zeros)      # the network itself
    """
    norms = [
        norm.modulated(scale, shift)
        for norm, scale, shift in zip(normalisations(network), scales, shifts, strict=True)
    ]
    return eqx.tree_at(normalisations, network, norms) if norms else network


def require_networks(owner: type, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Raise `UserError` where an argument of a class is annotated as a `Network`, or as a network
    `WithHead`, and is something else."""
    _, *parameters = signature(owner.__init__, eval_str=True).parameters.values()  # without self
    kinds = {parameter.name: parameter.annotation for parameter in parameters}
    for name, given in {**dict(zip(kinds, arguments, strict=False)), **options}.items():
        kind = kinds.get(name)
        if not (isinstance(kind, type) and issubclass(kind, Network)) or isinstance(given, kind):
            continue
        kind, said = type(given), f"{owner.__name__}({name}=…)"
        if isinstance(given, Network):
            raise UserError(
                f"{said} takes a network with a head, not {kind.__name__}: put one on it with "
                "WithHead(network, outputs, key=key)"
            )
        raise UserError(
            f"{said} takes a Network, not {kind.__module__}.{kind.__name__}: wrap an Equinox "
            "module as quickstudy.networks.Plain(module, outputs), or a function apply(params, x) "
            "as quickstudy.networks.Applied(apply, params, outputs)"
        )
