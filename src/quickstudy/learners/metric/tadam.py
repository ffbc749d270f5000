"""TADAM, task dependent adaptive metric (Oreshkin, Rodríguez López and Lacoste, NeurIPS 2018).

Prototypical networks with a learned scale of the distance, and with a network that is conditioned
on the task: it reads the support set once without conditioning, and the resulting task embedding
scales and shifts every normalised layer for a second pass. Besides episodes, it learns to classify
all training classes.

    p(y = k | x) ∝ exp(-α d(f(x; Γ), c_k)),   c_k the mean of f(x; Γ) over class k
    Γ = TEN(1/N Σ_k c̄_k),   c̄_k the mean of f(x) over class k, of the N classes with an example
    h ← (1 + γ) ⊙ h + β      after each normalised layer, with γ = γ₀ g(c̄), β = β₀ b(c̄)

The task embedding network TEN has, for each layer, two small residual networks g and b and two
numbers γ₀ and β₀ that start at 0 and are kept small: λ/2 Σ (γ₀² + β₀²) is added to the loss. So
training starts as a plain prototypical network, and conditions a layer where this lowers the loss.

Auxiliary co-training: a meta-step t also takes a step of classification among all training
classes, with the plain network, with probability 0.9^(⌊20 t / T⌋ + 1), T steps in all.

Differences from the paper: the distance is squared, as in prototypical networks (the paper's code
takes the root); γ and β also condition the normalisation of shortcuts; classification and episode
are one step on the sum of their losses instead of two steps; no weight decay; ReLU, not swish."""

from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from quickstudy.learner import Metrics
from quickstudy.learners.distances import class_means, squared_distances
from quickstudy.learners.embedding import EmbeddingLearner, EmbeddingPredictor, inputs_of
from quickstudy.likelihood import Categorical, Likelihood, absent_last
from quickstudy.networks.embedding import Embedding, population_statistics
from quickstudy.networks.layers import Linear
from quickstudy.networks.network import (
    Network,
    Normalisation,
    Statistics,
    modulated,
    normalisations,
)
from quickstudy.task import Episode, Examples, TaskDistribution

DECAY = 0.9
"""The factor by which the probability of co-training falls, repeatedly."""
PENALTY = 0.01
"""λ."""


class ResidualNetwork(eqx.Module):
    """Three linear layers of one width, with shortcuts around all except the first, which
    projects."""

    layers: tuple[Linear, Linear, Linear]

    def __init__(self, inputs: int, width: int, *, key: PRNGKeyArray):
        a, b, c = jax.random.split(key, 3)
        self.layers = (
            Linear(inputs, width, key=a),
            Linear(width, width, key=b),
            Linear(width, width, key=c),
        )

    def __call__(self, x: Float[Array, " inputs"]) -> Float[Array, " width"]:
        first, *others = self.layers
        h = first(x)
        for layer in others:
            h = jax.nn.relu(h)
            h = h + layer(h)
        return h


class Conditioner(eqx.Module):
    """TEN for one layer: it computes the scale and the shift of each channel for a task."""

    scale: ResidualNetwork
    """g."""
    shift: ResidualNetwork
    """b."""
    scale_by: Float[Array, ""]
    """γ₀."""
    shift_by: Float[Array, ""]
    """β₀."""

    def __init__(self, inputs: int, channels: int, *, key: PRNGKeyArray):
        for_scale, for_shift = jax.random.split(key)
        self.scale = ResidualNetwork(inputs, channels, key=for_scale)
        self.shift = ResidualNetwork(inputs, channels, key=for_shift)
        self.scale_by = jnp.asarray(0.0)
        self.shift_by = jnp.asarray(0.0)


class ScaledPrototypes(EmbeddingPredictor):
    """Class means in the space of the network conditioned on the task."""

    embedding: Embedding
    prototypes: Float[Array, "classes d"]
    seen: Bool[Array, " classes"]
    """Whether each class has a labelled example, and so a prototype."""
    log_scale: Float[Array, ""]

    def __call__(self, x: Float[Array, "n ..."]) -> Float[Array, "n classes"]:
        z = self.embedding(x)
        logits = -jnp.exp(self.log_scale) * squared_distances(z, self.prototypes)
        return absent_last(logits, self.seen)


@runtime_checkable
class Cotrained(Protocol):
    """An episode with a batch of ordinary classification."""

    batch: Examples
    """Examples whose labels are indices of the training classes."""


class TADAM(EmbeddingLearner):
    """A network that is conditioned on an embedding of the task.

    With a `Cotrained` episode its loss includes classification; with any other episode not.

    >>> learner = TADAM(ResNet12((28, 28, 1), key=a), training_classes=1000, key=b)
    >>> meta_train(learner, CoTraining(episodes, 64, 1000), optax.adam(1e-3), steps=1000)
    """

    network: Network
    conditioners: tuple[Conditioner, ...]
    """One for each normalised layer."""
    classifier: Linear
    """The classifier of the training classes."""
    log_scale: Float[Array, ""]
    """log α."""
    population: tuple[Statistics, Statistics] | None
    """The statistics of the plain network and of conditioned networks."""
    step: Int[Array, ""]
    every: int = eqx.field(static=True)
    """T / 20: steps until the probability of co-training falls."""
    normalisation: Normalisation = eqx.field(static=True)

    def __init__(
        self,
        network: Network,
        training_classes: int,
        *,
        every: int = 1500,
        normalisation: Normalisation = "running",
        key: PRNGKeyArray,
    ):
        norms = normalisations(network)
        if not norms:
            raise ValueError(
                "TADAM conditions the normalised layers of its network, and this network has none"
            )
        for_classifier, *keys = jax.random.split(key, 1 + len(norms))
        self.network = network
        self.conditioners = tuple(
            Conditioner(network.outputs, norm.gamma.size, key=k)
            for norm, k in zip(norms, keys, strict=True)
        )
        self.classifier = Linear(network.outputs, training_classes, key=for_classifier)
        self.log_scale = jnp.asarray(0.0)
        self.population = None
        self.step = jnp.asarray(0)
        self.every = every
        self.normalisation = normalisation

    def at_step(self, step: Int[Array, ""]) -> "TADAM":
        return eqx.tree_at(lambda learner: learner.step, self, step)

    @property
    def embedding(self) -> Embedding:
        """f(·), the plain network."""
        plain, _ = self.population or (None, None)
        return Embedding(self.network, plain, self.normalisation)

    def conditioned(self, support: Examples, classes: int, plain: Embedding) -> Network:
        """Return f(· ; Γ): the network conditioned on this support set, after a pass without
        conditioning."""
        z, _ = plain.read(support.x)
        seen = Categorical(classes).seen(support.y)[:, None]
        means = class_means(z, support.y, classes)
        task = jnp.sum(means, axis=0, where=seen) / jnp.maximum(jnp.sum(seen), 1)
        return modulated(
            self.network,
            [ten.scale_by * ten.scale(task) for ten in self.conditioners],
            [ten.shift_by * ten.shift(task) for ten in self.conditioners],
        )

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> ScaledPrototypes:
        if not isinstance(likelihood, Categorical):
            raise ValueError("TADAM classifies; this task's targets are not classes")
        network = self.conditioned(support, likelihood.size, self.embedding)
        _, turned = self.population or (None, None)
        z, of_queries = Embedding(network, turned, self.normalisation).read(support.x)
        return ScaledPrototypes(
            embedding=of_queries,
            prototypes=class_means(z, support.y, likelihood.size),
            seen=likelihood.seen(support.y),
            log_scale=self.log_scale,
        )

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        loss, metrics = super().loss(task, key=key)
        for ten in self.conditioners:
            loss += PENALTY / 2 * (ten.scale_by**2 + ten.shift_by**2)
        if isinstance(task, Cotrained):
            probability = DECAY ** (self.step // self.every + 1)
            loss += jax.lax.cond(
                jax.random.bernoulli(key, probability),
                lambda: self.classification(task.batch),
                lambda: jnp.zeros_like(loss),
            )
        return loss, metrics

    def classification(self, batch: Examples) -> Float[Array, ""]:
        """Compute the loss of the plain network as a classifier of all training classes."""
        z, _ = self.network(batch.x)
        logits = self.classifier(z)
        return Categorical(logits.shape[-1]).mean_loss(logits, batch.y)

    def settle(self, tasks: TaskDistribution[Episode], *, key: PRNGKeyArray) -> "TADAM":
        """Compute the population statistics from training episodes: first of the plain network,
        then of the networks conditioned on these episodes."""
        plain = population_statistics(lambda key: (self.network, inputs_of(tasks.sample(key))), key)

        def turned(key: PRNGKeyArray) -> tuple[Network, Float[Array, "n ..."]]:
            episode = tasks.sample(key)
            embedding = Embedding(self.network, plain)
            network = self.conditioned(episode.support, episode.likelihood.size, embedding)
            return network, inputs_of(episode)

        return eqx.tree_at(
            lambda learner: learner.population,
            self,
            (plain, population_statistics(turned, key)),
            is_leaf=lambda x: x is None,
        )
