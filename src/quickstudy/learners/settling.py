"""Population statistics for learners that normalise by those of the training tasks."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.networks.network import Network, Statistics, population_statistics
from quickstudy.task import Episode, TaskDistribution

SETTLING_EPISODES = 32


def episode_statistics(
    network: Network, tasks: TaskDistribution[Episode], key: PRNGKeyArray
) -> Statistics:
    """Those of the inputs of `SETTLING_EPISODES` episodes, support and query sets together."""

    def inputs(key: PRNGKeyArray) -> Float[Array, "n ..."]:
        episode = tasks.sample(key)
        return jnp.concatenate([episode.support.x, episode.query.x])

    return population_statistics(network, inputs, jax.random.split(key, SETTLING_EPISODES))
