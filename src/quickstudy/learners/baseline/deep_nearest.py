"""Nearest neighbour on deep features: train one classifier on all training classes, remove its last
layer, and give a query the label of the support example with the nearest features (the "baseline
classifier, cosine" rows of Vinyals et al. 2016, table 1).

Training:   as fine-tuning
A new task: ŷ(x) = y_i with i = argmax_i cos(f(x), f(x_i)), or argmin_i ‖f(x) - f(x_i)‖²
            with f as trained, or after steps of it and a new last layer on the support set
"""

import equinox as eqx
import optax
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from quickstudy.learners.baseline.finetuning import FineTuning
from quickstudy.learners.baseline.nearest import NearestNeighbour, Neighbours
from quickstudy.learners.distances import Distance
from quickstudy.learners.embedding import EmbeddingPredictor
from quickstudy.likelihood import Likelihood
from quickstudy.networks.embedding import Embedding
from quickstudy.networks.network import WithHead
from quickstudy.task import Examples


class OnFeatures(EmbeddingPredictor):
    """Nearest neighbours in the space of a network's features."""

    embedding: Embedding
    neighbours: Neighbours

    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n classes"]:
        return self.neighbours(self.embedding(x))


class DeepNearestNeighbour(FineTuning):
    """A classifier of the training classes whose features are compared, after `steps` steps on the
    support set. It has the parameters of `FineTuning`, so a network that was trained as one can be
    used as the other.

    >>> learner = DeepNearestNeighbour(WithHead(body, training_classes, key=key), optax.sgd(0.1))
    """

    distance: Distance = eqx.field(static=True)

    def __init__(
        self,
        classifier: WithHead,
        optimizer: optax.GradientTransformation,
        steps: int = 0,
        distance: Distance = "cosine",
    ):
        super().__init__(classifier, optimizer, steps, whole_network=True)
        self.distance = distance

    @property
    def absent_last(self) -> bool:
        return True

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> OnFeatures:
        tuned = Embedding(self.tuned(support, likelihood, key=key).body, self.population)
        neighbours = NearestNeighbour(self.distance).adapt(
            Examples(tuned(support.x), support.y), likelihood, key=key
        )
        return OnFeatures(tuned, neighbours)
