"""The population statistics of batch normalisation, for learners that normalise by them at test."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PRNGKeyArray, Shaped

from quickstudy.learner import Learner
from quickstudy.networks.network import Network, population_statistics
from quickstudy.task import Episode, TaskDistribution

SETTLING_TASKS = 32

Settled = TypeVar("Settled", bound=Learner)
Inputs = Callable[[PRNGKeyArray], Shaped[Array, "n ..."]]
"""Draws a batch of inputs."""


def settling_keys(key: PRNGKeyArray) -> Key[Array, " tasks"]:
    """Of the training tasks to take statistics from."""
    return jax.random.split(key, SETTLING_TASKS)


def inputs_of(episode: Episode) -> Shaped[Array, "n ..."]:
    """The inputs of support and query set together."""
    return jnp.concatenate([episode.support.x, episode.query.x])


def of_episodes(tasks: TaskDistribution[Episode]) -> Inputs:
    """Draws all inputs of an episode."""
    return lambda key: inputs_of(tasks.sample(key))


def with_population(
    learner: Settled, network: Network, inputs: Inputs, key: PRNGKeyArray
) -> Settled:
    """`learner`, its field `population` the statistics of `network` on 32 draws of `inputs`;
    unchanged where the network does not normalise.

    >>> settled = with_population(learner, learner.network, of_episodes(tasks), key)
    """
    if not network.normalises:
        return learner
    statistics = population_statistics(network, inputs, settling_keys(key))
    return eqx.tree_at(
        lambda learner: learner.population, learner, statistics, is_leaf=lambda x: x is None
    )
