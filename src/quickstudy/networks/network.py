"""What every network here is: a function of a batch of inputs that says which batch statistics
it normalised with.
"""

import abc
from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray, Shaped

from quickstudy.networks.layers import Linear, Moments, Precision

Statistics = tuple[Moments, ...]
"""One entry for each normalised layer, in order."""

Normalisation = Literal["batch", "support", "running"]
"""Whose statistics normalise the queries: those of the queries themselves (`batch`, which is
transductive), of the support set (`support`), or of the training tasks (`running`)."""


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
