"""The common part of learners that embed their inputs by one network and adapt something else."""

import abc
from typing import Any, TypeVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from quickstudy.learner import Learner, Predictor
from quickstudy.networks.embedding import Embedding, population_statistics
from quickstudy.networks.network import Normalisation, require_networks
from quickstudy.task import Episode, TaskDistribution


class EmbeddingPredictor(Predictor):
    """A predictor that compares inputs in the space of a network's features."""

    embedding: eqx.AbstractVar[Embedding]

    def embed(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n d"]:
        return self.embedding(x)


Settled = TypeVar("Settled", bound="EmbeddingLearner")


class EmbeddingLearner(Learner):
    """A learner with an `embedding` for its inputs. Training normalises each batch by itself;
    `settle` computes the statistics of the training tasks.

    Raises `UserError` where an argument should be a network and is not."""

    population: eqx.AbstractVar[Any]
    """Statistics of the training tasks; None before `settle`."""

    def __new__(cls, *arguments: Any, **options: Any):
        require_networks(cls, arguments, options)
        return super().__new__(cls)

    @property
    @abc.abstractmethod
    def embedding(self) -> Embedding:
        """The network, `population`, and the mode of the normalisation of queries."""

    def inputs(self, task: Episode) -> Shaped[Array, "n ..."]:
        """Return the inputs of a training task that the network embeds."""
        return inputs_of(task)

    def settle(self: Settled, tasks: TaskDistribution[Episode], *, key: PRNGKeyArray) -> Settled:
        """Take the population statistics of batch normalisation from training tasks."""
        network = self.embedding.network
        if not network.normalises:
            return self
        statistics = population_statistics(
            lambda key: (network, self.inputs(tasks.sample(key))), key
        )
        return eqx.tree_at(
            lambda learner: learner.population, self, statistics, is_leaf=lambda x: x is None
        )

    @property
    def normalised_by(self) -> Normalisation | None:
        return self.embedding.normalised_by


def inputs_of(task: Episode) -> Shaped[Array, "n ..."]:
    """Return all inputs of a task, support set first; a pair counts as two."""
    of_support, of_query = task.support.x, task.query.x
    return jnp.concatenate([of_support, of_query.reshape(-1, *of_support.shape[1:])])
