"""Population statistics of batch normalisation from training episodes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray

from quickstudy.networks.network import Network, Statistics, population_statistics
from quickstudy.task import Episode, TaskDistribution

SETTLING_EPISODES = 32


def settling_keys(key: PRNGKeyArray) -> Key[Array, " episodes"]:
    """Of the training episodes to take statistics from."""
    return jax.random.split(key, SETTLING_EPISODES)


def inputs_of(episode: Episode) -> Float[Array, "n ..."]:
    """The inputs of support and query set together."""
    return jnp.concatenate([episode.support.x, episode.query.x])


def episode_statistics(
    network: Network, tasks: TaskDistribution[Episode], key: PRNGKeyArray
) -> Statistics:
    """The statistics of all inputs of some training episodes.

    >>> population = episode_statistics(learner.network, tasks, key)
    """
    return population_statistics(
        network, lambda key: inputs_of(tasks.sample(key)), settling_keys(key)
    )
