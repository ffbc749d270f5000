"""The population statistics of batch normalisation, for learners that normalise by them at test."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, Shaped

from quickstudy.learner import Learner
from quickstudy.networks.network import Network, population_statistics
from quickstudy.task import Episode, TaskDistribution

SETTLING_TASKS = 32

Settled = TypeVar("Settled", bound=Learner)


def with_population(
    learner: Settled,
    network: Network,
    inputs: Callable[[PRNGKeyArray], Shaped[Array, "n ..."]],
    key: PRNGKeyArray,
) -> Settled:
    """`learner`, its field `population` the statistics of `network` on 32 draws of `inputs`;
    unchanged where the network does not normalise."""
    if not network.normalises:
        return learner
    statistics = population_statistics(network, inputs, jax.random.split(key, SETTLING_TASKS))
    return eqx.tree_at(
        lambda learner: learner.population, learner, statistics, is_leaf=lambda x: x is None
    )


def of_episodes(
    tasks: TaskDistribution[Episode],
) -> Callable[[PRNGKeyArray], Shaped[Array, "n ..."]]:
    """A draw of all inputs of an episode, for `with_population`."""

    def inputs(key: PRNGKeyArray) -> Shaped[Array, "n ..."]:
        episode = tasks.sample(key)
        return jnp.concatenate([episode.support.x, episode.query.x])

    return inputs
