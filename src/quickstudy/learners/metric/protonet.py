"""Prototypical networks (Snell, Swersky and Zemel, NeurIPS 2017).

One network f embeds all inputs. A class is the mean of its support embeddings, and a query belongs
to the class with the nearest mean:

    c_k = 1/|S_k| Σ_{(x, y) ∈ S_k} f(x)                                     (eq. 1)
    p(y = k | x) ∝ exp(-d(f(x), c_k))                                       (eq. 2)

with d the squared Euclidean distance, or 1 - cosine similarity, scaled by a learned temperature.

Differences from the paper: support and query images are normalised as two batches in training (the
paper's code joins them); at test the statistics of the training tasks normalise them, or other
statistics by option."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from quickstudy.learners.distances import Distance, class_means, squared_distances, unit
from quickstudy.learners.embedding import EmbeddingLearner, EmbeddingPredictor
from quickstudy.likelihood import Categorical, Likelihood, absent_last
from quickstudy.networks.embedding import Embedding
from quickstudy.networks.network import Network, Normalisation, Statistics
from quickstudy.task import Examples


class Prototypes(EmbeddingPredictor):
    """Class means in the space of a network's features."""

    embedding: Embedding
    prototypes: Float[Array, "classes d"]
    seen: Bool[Array, " classes"]
    """Whether each class has a labelled example, and so a prototype."""
    log_temperature: Float[Array, ""]
    distance: Distance = eqx.field(static=True)

    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n classes"]:
        z = self.embedding(x)
        if self.distance == "euclidean":
            logits = -squared_distances(z, self.prototypes)
        else:
            logits = jnp.exp(self.log_temperature) * unit(z) @ unit(self.prototypes).T
        return absent_last(logits, self.seen)


class ProtoNet(EmbeddingLearner):
    """A network whose features cluster by class, on classes that it has never seen.

    >>> learner = ProtoNet(Conv4((28, 28, 1), key=key))
    >>> learner.adapt(support, Categorical(5), key=key)(queries).shape      # logits
    (75, 5)
    """

    network: Network
    log_temperature: Float[Array, ""]
    population: Statistics | None
    distance: Distance = eqx.field(static=True)
    normalisation: Normalisation = eqx.field(static=True)

    def __init__(
        self,
        network: Network,
        distance: Distance = "euclidean",
        normalisation: Normalisation = "running",
    ):
        self.network = network
        self.log_temperature = jnp.log(10.0)
        self.population = None
        self.distance = distance
        self.normalisation = normalisation

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.network, self.population, self.normalisation)

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Prototypes:
        if not isinstance(likelihood, Categorical):
            raise ValueError("prototypical networks classify; this task's targets are not classes")
        z, of_queries = self.embedding.read(support.x)
        return Prototypes(
            embedding=of_queries,
            prototypes=class_means(z, support.y, likelihood.size),
            seen=likelihood.seen(support.y),
            log_temperature=self.log_temperature,
            distance=self.distance,
        )
