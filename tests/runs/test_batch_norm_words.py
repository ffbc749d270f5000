"""A protocol says whose batch statistics normalise queries, whatever a learner calls its fields."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest

from quickstudy.learner import Learner
from quickstudy.learners.adapted import NetworkPredictor
from quickstudy.learners.embedding import EmbeddingLearner
from quickstudy.learners.gradient.maml import MAML
from quickstudy.learners.memory.meta_networks import MetaNetworks
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.networks import MLP, Embedding, Network, WithHead
from quickstudy.runs.measure import batch_norm_words

KEY = jax.random.key(0)
BATCH, SUPPORT, TRAINING = (
    "batch statistics (transductive)",
    "support statistics (inductive)",
    "training statistics (inductive)",
)


def network(normalise: bool = True) -> MLP:
    return MLP((8,), hidden=(4,), normalise=normalise, key=KEY)


class OwnNames(EmbeddingLearner):
    """A user's learner: its fields have other names than the project's."""

    features: Network
    whose: Any = eqx.field(static=True)
    population: Any

    def __init__(self, features: Network, whose: Any, population: Any = None):
        self.features, self.whose, self.population = features, whose, population

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.features, self.population, self.whose)

    def adapt(self, support, likelihood, *, key):
        _, of_queries = self.embedding.read(support.x)
        return NetworkPredictor(of_queries.network, of_queries.statistics)


class Undeclared(Learner):
    """A user's learner that says no more than whether queries see each other."""

    features: Network
    by_queries: bool = eqx.field(static=True)

    def adapt(self, support, likelihood, *, key):
        used = None if self.by_queries else self.features(support.x)[1]
        return NetworkPredictor(self.features, used)

    @property
    def transductive(self) -> bool:
        return self.by_queries


@pytest.mark.parametrize(
    ("learner", "words"),
    [
        (OwnNames(network(), "batch"), BATCH),
        (OwnNames(network(), "support"), SUPPORT),
        (OwnNames(network(), "running"), TRAINING),
        (OwnNames(network(normalise=False), "batch"), "none"),
        (Undeclared(network(), True), BATCH),
        (Undeclared(network(), False), "statistics of other inputs (inductive)"),
        (Undeclared(network(normalise=False), False), "none"),
        (ProtoNet(network()), TRAINING),
        (MAML(WithHead(network(), 3, key=KEY), optax.sgd(0.1)), BATCH),
        (MetaNetworks(network(), 3, key=KEY), SUPPORT),
    ],
)
def test_the_protocol_names_whose_statistics_normalise_queries(learner, words):
    assert batch_norm_words(learner) == words


@pytest.mark.parametrize("whose", ["batch", "support", "running"])
def test_own_names_are_what_queries_are_normalised_by(whose):
    """In mode `batch` a prediction changes with the other queries, in the others not."""
    learner = OwnNames(network(), whose, network()(jnp.ones((4, 8)) * jnp.arange(4)[:, None])[1])
    support, x = (jax.random.normal(k, (6, 8)) for k in jax.random.split(KEY))
    _, of_queries = learner.embedding.read(support)
    moved = jnp.abs(of_queries(x)[:3] - of_queries(x[:3])).max()
    assert (moved > 1e-3) == learner.transductive == (whose == "batch")
