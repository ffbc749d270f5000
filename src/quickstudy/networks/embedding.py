"""A network with the statistics of its batch normalisation: the embedding of metric learners and of
learners that read the support set."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from quickstudy.networks.layers import Moments
from quickstudy.networks.network import Network, Normalisation, Statistics

SETTLING_TASKS = 32
"""The number of training tasks for population statistics."""


class Embedding(eqx.Module):
    """A network, statistics to normalise by, and the mode of its batch normalisation.

    >>> embedding = Embedding(network, None, "support")
    >>> z, of_queries = embedding.read(x)    # normalised by x itself
    >>> more = of_queries(x2)                # normalised by the statistics of x
    """

    network: Network
    statistics: Statistics | None = None
    """Statistics of the training tasks. None during training: each batch of inputs is then
    normalised by its own statistics."""
    mode: Normalisation = eqx.field(static=True, default="running")

    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n d"]:
        """Embed inputs, normalised by `statistics`."""
        return self.network(x, self.statistics)[0]

    def read(self, x: Shaped[Array, "n ..."]) -> "tuple[Float[Array, 'n d'], Embedding]":
        """Embed a support set, and return the `Embedding` for its queries as well.

        In mode `running` the support set is normalised by the training tasks, in other modes by
        itself. The mode decides the normalisation of queries (see `Normalisation`)."""
        running = self.statistics if self.mode == "running" else None
        z, of_support = self.network(x, running)
        statistics = {"batch": None, "support": of_support, "running": running}[self.mode]
        return z, Embedding(self.network, statistics)

    @property
    def normalised_by(self) -> Normalisation | None:
        """The source of the statistics that normalise queries; None where the network does not
        normalise."""
        return self.mode if self.network.normalises else None


def population_statistics(
    network_of: Callable[[PRNGKeyArray], tuple[Network, Shaped[Array, "n ..."]]], key: PRNGKeyArray
) -> Statistics:
    """Compute the statistics of 32 training tasks. `network_of` returns the network and a batch of
    inputs for each task. (Wu and Johnson 2021, section 3: this is more accurate than a running
    average, and training needs no state beyond its parameters.)

    >>> population_statistics(lambda key: (network, tasks.sample(key).query.x), key)
    """

    def of_task(key: PRNGKeyArray) -> Statistics:
        network, x = network_of(key)
        return network(x)[1]

    return pooled(jax.lax.map(of_task, jax.random.split(key, SETTLING_TASKS)))


def pooled(batches: Statistics) -> Statistics:
    """Pool the statistics of equally large batches; leaves have a leading batch axis.

    By the law of total variance σ² = E[σ_b²] + Var[μ_b].
    """
    return tuple(
        Moments(jnp.mean(m.mean, 0), jnp.mean(m.variance, 0) + jnp.var(m.mean, 0)) for m in batches
    )
