"""The Neural Statistician (Edwards and Storkey, ICLR 2017): a generative model of data sets.

A class is a set D of examples that have a context c in common. A network summarises a set,
independent of the order of its members, as a distribution over contexts. Each member also has a
latent variable z (the paper's full model, section 3, with one stochastic layer as in 5.3). Labels
only define the sets.

    p(D) = ∫ p(c) Π_{x ∈ D} ∫ p(x | z, c) p(z | c) dz dc,   p(c) = N(0, I)

    R = E_{q(c|D)} Σ_{x ∈ D} E_{q(z|x,c)} log p(x | z, c)
    C = KL(q(c|D) ‖ p(c)),   L = E_{q(c|D)} Σ_{x ∈ D} KL(q(z|x,c) ‖ p(z|c))
    max (1 + α) R - (C + L) / (1 + α)              with α = 2^{-t / halve_every} at step t

which becomes the lower bound R - C - L on log p(D) as α falls to 0; before, a larger α makes the
model use contexts more. A new example belongs to the class whose context it shares, and a class is
sampled through its context:

    argmin_k KL(q(c | D_k) ‖ q(c | x))                                  (section 5.3)
    c = E q(c | D_k),  z ~ p(z | c),  x ~ p(x | z, c)

q(c|D) reads the mean of an encoder's features over the members, and their number. In training it
reads a random number of members of each set (sample dropout), while all members are explained.

Pictures are Bernoulli variables pixel by pixel; other inputs are Gaussian with a predicted scale.

Differences from the paper: the set of a class is its support and query examples together; pixels
enter the bound as probabilities and are not sampled in each epoch; the decoder is fully connected,
where the paper has transposed convolutions, and dense layers have no batch normalisation; α falls
with every step and not with every epoch. The direction of the divergence for classification is
uncertain: the paper writes of the divergence "from the test context to the training context", which
is read here as a divergence of the training context; public re-implementations differ in the
direction."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from quickstudy.distributions import Normal, divergence
from quickstudy.learner import Metrics, Predictor
from quickstudy.learners.distances import class_means
from quickstudy.learners.embedding import EmbeddingLearner
from quickstudy.likelihood import (
    Categorical,
    HeteroscedasticGaussian,
    Likelihood,
    absent_last,
)
from quickstudy.networks import MLP, Network, WithHead
from quickstudy.networks.embedding import Embedding
from quickstudy.networks.network import Statistics
from quickstudy.task import Episode, Examples

MOST_LOG_VARIANCE = 8.0
"""Bound on |log σ²| of the predicted distributions, against overflow of the exponential."""


def normal(network: Network, *inputs: Float[Array, "n _"]) -> Normal:
    """Compute the normal distribution that a network predicts from concatenated inputs."""
    mean, log_variance = jnp.split(network(jnp.concatenate(inputs, axis=1))[0], 2, axis=1)
    return Normal(mean, MOST_LOG_VARIANCE * jnp.tanh(log_variance / MOST_LOG_VARIANCE))


class Bound(NamedTuple):
    """The terms of the lower bound, of all sets together."""

    reconstruction: Float[Array, ""]
    of_contexts: Float[Array, ""]
    of_latents: Float[Array, ""]

    @property
    def total(self) -> Float[Array, ""]:
        """R - C - L ≤ log p(D)."""
        return self.reconstruction - self.of_contexts - self.of_latents

    def weighted(self, alpha: Float[Array, ""]) -> Float[Array, ""]:
        """(1 + α) R - (C + L) / (1 + α)."""
        against = self.of_contexts + self.of_latents
        return (1 + alpha) * self.reconstruction - against / (1 + alpha)


class Contexts(Predictor):
    """q(c | D_k) of each class."""

    learner: Statistician
    mean: Float[Array, "classes c"]
    log_variance: Float[Array, "classes c"]
    seen: Bool[Array, " classes"]
    """Whether each class has a labelled example."""

    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n classes"]:
        """-KL(q(c | D_k) ‖ q(c | x))."""
        h = self.learner.embedding(x)
        mean, log_variance = self.learner.contexts(h, jnp.arange(len(h)), len(h))
        own = Normal(mean[:, None], log_variance[:, None])
        apart = divergence(Normal(self.mean, self.log_variance), own)
        return absent_last(-apart, self.seen)


class Statistician(EmbeddingLearner):
    """Networks that summarise sets and explain their members.

    >>> learner = Statistician(Conv4((28, 28, 1), key=key), (28, 28, 1), key=key)
    >>> predictor = learner.adapt(support, Categorical(5), key=key)
    >>> learner.members(predictor.mean, 7, key=key).shape       # new ones of each class
    (5, 7, 28, 28, 1)
    """

    encoder: Network
    before: WithHead
    after: WithHead
    posterior: WithHead
    prior: WithHead
    decoder: WithHead
    population: Statistics | None
    step: Int[Array, ""]
    """The training step, which determines α."""
    halve_every: int = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        encoder: Network,
        shape: tuple[int, ...],
        *,
        context: int = 64,
        latent: int = 16,
        width: int = 256,
        halve_every: int = 1000,
        key: PRNGKeyArray,
    ):
        """`encoder` reads single examples of `shape`; c and z have `context` and `latent` numbers,
        and hidden layers have `width` units."""

        def dense(inputs: int, outputs: int, layers: int, key: PRNGKeyArray) -> WithHead:
            body, head = jax.random.split(key)
            hidden = (width,) * layers
            return WithHead(MLP((inputs,), hidden=hidden, key=body), outputs, key=head)

        self.shape = tuple(shape)
        self.halve_every = halve_every
        self.step = jnp.asarray(0)
        self.population = None
        h, keys = encoder.outputs, jax.random.split(key, 5)
        pixels = jnp.zeros(self.shape).size
        self.encoder = encoder
        self.before = dense(h, width, 1, keys[0])
        self.after = dense(width + 1, 2 * context, 2, keys[1])
        self.posterior = dense(h + context, 2 * latent, 2, keys[2])
        self.prior = dense(context, 2 * latent, 2, keys[3])
        outputs = pixels if self.of_pictures else 2 * pixels
        self.decoder = dense(latent + context, outputs, 2, keys[4])

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.encoder, self.population)

    @property
    def of_pictures(self) -> bool:
        """Whether inputs are pictures with pixels from 0 to 1."""
        return len(self.shape) == 3

    def at_step(self, step: Int[Array, ""]) -> Statistician:
        return eqx.tree_at(lambda learner: learner.step, self, step)

    @property
    def alpha(self) -> Float[Array, ""]:
        """Compute α, the extra weight of the reconstruction."""
        return 2.0 ** (-self.step / self.halve_every)

    def contexts(self, h: Float[Array, "n d"], sets: Int[Array, " n"], count: int) -> Normal:
        """Compute q(c | D) of each of `count` sets, from the features of their members; the label
        -1 is of no set."""
        v = jax.nn.relu(self.before(h)[0])
        sizes = jnp.sum(jax.nn.one_hot(sets, count), axis=0)[:, None]
        return normal(self.after, class_means(v, sets, count), sizes)

    def log_probability(
        self, x: Shaped[Array, "n ..."], z: Float[Array, "n z"], c: Float[Array, "n c"]
    ) -> Float[Array, " n"]:
        """Compute log p(x | z, c)."""
        given = self.decoder(jnp.concatenate([z, c], axis=1))[0]
        x = x.reshape(len(x), -1)
        if self.of_pictures:
            return jnp.sum(x * given - jax.nn.softplus(given), axis=1)
        return -HeteroscedasticGaussian(2 * x.shape[1]).negative_log_likelihood(given, x)

    def bound(
        self, examples: Examples, count: int, *, key: PRNGKeyArray, drop: bool = True
    ) -> Bound:
        """Compute the bound for `count` sets of examples with the same label; -1 is of no set. With
        `drop`, q(c|D) reads only some members of each."""
        for_drop, for_c, for_z = jax.random.split(key, 3)
        sets, x = examples.y, examples.x
        told = some_of_each(sets, count, for_drop) if drop else sets
        h = self.embedding(x)
        contexts = self.contexts(h, told, count)
        c = contexts.sample(for_c)[sets]
        latents, expected = normal(self.posterior, h, c), normal(self.prior, c)
        z = latents.sample(for_z)
        belongs = sets >= 0
        standard = Normal(jnp.zeros_like(contexts.mean), jnp.zeros_like(contexts.mean))
        return Bound(
            jnp.sum(jnp.where(belongs, self.log_probability(x, z, c), 0.0)),
            jnp.sum(divergence(contexts, standard)),
            jnp.sum(jnp.where(belongs, divergence(latents, expected), 0.0)),
        )

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Compute the weighted bound for each example of an episode; metrics are without
        weights."""
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), task.support, task.query)
        bound = self.bound(both, task.likelihood.size, key=key)
        members = jnp.maximum(jnp.sum(both.y >= 0), 1)
        figures = {
            "bound": bound.total,
            "reconstruction": bound.reconstruction,
            "KL of contexts": bound.of_contexts,
            "KL of latents": bound.of_latents,
        }
        loss = -bound.weighted(self.alpha) / members
        return loss, {name: value / members for name, value in figures.items()}

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Contexts:
        if not isinstance(likelihood, Categorical):
            raise ValueError("the statistician classifies; this task's targets are not classes")
        h = self.embedding(support.x)
        contexts = self.contexts(h, support.y, likelihood.size)
        return Contexts(self, *contexts, likelihood.seen(support.y))

    def members(
        self, context: Float[Array, "sets c"], count: int, *, key: PRNGKeyArray
    ) -> Float[Array, "sets count ..."]:
        """Sample the means of `count` new members of each set with a given c."""
        c = jnp.repeat(context, count, axis=0)
        z = normal(self.prior, c).sample(key)
        given = self.decoder(jnp.concatenate([z, c], axis=1))[0]
        mean = jax.nn.sigmoid(given) if self.of_pictures else given[:, : given.shape[1] // 2]
        return mean.reshape(len(context), count, *self.shape)


def some_of_each(sets: Int[Array, " n"], count: int, key: PRNGKeyArray) -> Int[Array, " n"]:
    """Replace the labels of some members of each set by -1: of n, a random number from 1 to n
    remain."""
    for_number, for_order = jax.random.split(key)
    sizes = jnp.sum(jax.nn.one_hot(sets, count, dtype=int), axis=0)
    left = jax.random.randint(for_number, (count,), 1, jnp.maximum(sizes, 1) + 1)
    score = jax.random.uniform(for_order, sets.shape)
    before = jnp.sum((sets[:, None] == sets) & (score < score[:, None]), axis=1)
    return jnp.where(before < left[sets], sets, -1)
