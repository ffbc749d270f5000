"""Siamese networks (Koch, Zemel and Salakhutdinov, "Siamese Neural Networks for One-shot Image
Recognition", ICML deep learning workshop 2015).

One network f embeds two pictures. A weighted city-block distance of the two embeddings decides
whether they have the same class:

    p(x, x') = σ(Σ_j α_j |f_j(x) - f_j(x')| + b)                                 (section 3.1)
    L = cross-entropy + λ ‖w‖²                                                   (section 3.2)

For training on pairs and one-shot classification see `comparing`.

Differences from the paper: one λ for all layers, where the paper searched one for each; f is any
network with its normalisation (`networks/koch.py` has the paper's); b is explicit. α_j = -1/√d and
b = √d at first, so s is of order 1 for features that differ by about 1."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.learner import Metrics
from quickstudy.learners.embedding import EmbeddingLearner
from quickstudy.learners.metric.comparing import Comparing
from quickstudy.networks.embedding import Embedding
from quickstudy.networks.network import Network, Statistics
from quickstudy.task import Episode


class Siamese(Comparing, EmbeddingLearner):
    """A network, and the weight of each of its features in a comparison.

    >>> learner = Siamese(Conv4((28, 28, 1), key=key))
    >>> learner.adapt(support, Categorical(20), key=key)(queries).shape      # logits
    (20, 20)
    """

    network: Network
    weight: Float[Array, " d"]
    bias: Float[Array, ""]
    population: Statistics | None
    penalty: float = eqx.field(static=True)

    def __init__(self, network: Network, penalty: float = 0.0):
        """`penalty` is λ."""
        self.network = network
        root = network.outputs**0.5
        self.weight = jnp.full(network.outputs, -1 / root)
        self.bias = jnp.asarray(root)
        self.population = None
        self.penalty = penalty

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.network, self.population)

    def encode(self, x: Float[Array, "n ..."]) -> Float[Array, "n d"]:
        """Compute f(x). During training, the inputs of a task are normalised together."""
        return self.embedding(x)

    def compare(self, one: Float[Array, " d"], other: Float[Array, " d"]) -> Float[Array, ""]:
        return jnp.abs(one - other) @ self.weight + self.bias

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        loss, metrics = super().loss(task, key=key)
        weights = [w for w in jax.tree.leaves(self.network) if eqx.is_array(w) and w.ndim > 1]
        return loss + self.penalty * sum(jnp.sum(w**2) for w in weights), metrics
