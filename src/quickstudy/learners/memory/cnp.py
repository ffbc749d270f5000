"""Conditional neural processes (Garnelo et al., ICML 2018), and with attention (Kim et al., ICLR
2019; the deterministic path).

A network encodes each example alone, the mean of the codes represents the set, and another network
predicts the target at any input from it. Predictions do not depend on the order of examples, and n
examples with m queries cost n + m passes.

    r_i = h(x_i, y_i),    r = 1/n Σ_i r_i,    φ_j = g(x_j, r)               (eqs. 1 to 3)
    min -E Σ_j log p(y_j | φ_j)                                             (eq. 4)

Where targets are classes, h encodes only x_i, and the means of the classes are concatenated in the
order of labels (section 4.3):

    r = [r_1, …, r_N],    r_k = 1/|S_k| Σ_{(x, y) ∈ S_k} h(x)

With attention each query has its own mean, from heads w that compare inputs (Kim et al., section 3
and figure 2):

    r_j = [Σ_i a^w_ij V_w r_i]_w,    a^w_ij = softmax_i(Q_w e(x_j) · K_w e(x_i) / √d)

within each class where there are classes. Unlabelled examples are left out, and an empty set has r
= 0.

Differences from the papers: queries do not repeat the context; in classification x is the output of
a convolutional network, for h and for g, normalised at test by the statistics of the training
tasks; Kim et al. have self-attention in the encoder as well."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from quickstudy.learner import Predictor
from quickstudy.learners.distances import class_means
from quickstudy.learners.embedding import EmbeddingLearner
from quickstudy.likelihood import Categorical, Likelihood
from quickstudy.networks import MLP, Network, WithHead
from quickstudy.networks.embedding import Embedding
from quickstudy.networks.layers import Linear
from quickstudy.networks.network import AnyNetwork, Statistics
from quickstudy.task import Examples


def groups(y: Shaped[Array, "n ..."], likelihood: Likelihood) -> Int[Array, " n"]:
    """Return the index of the mean of each example: its class, or 0 for the only one; -1 for
    none."""
    if isinstance(likelihood, Categorical):
        return y
    return jnp.where(likelihood.labelled(y), 0, -1)


def glorot(network: AnyNetwork) -> AnyNetwork:
    """Return the network with initial weights of variance 1/inputs; a `Linear` has a third of it,
    and differences between sets would almost vanish in so many layers (Glorot and Bengio 2010,
    section 4.2, for layers of one width)."""

    def weights(network: Network) -> list[Any]:
        return [layer.weight for layer in network.weight_layers()]

    return eqx.tree_at(weights, network, [3**0.5 * w for w in weights(network)])


class Attention(eqx.Module):
    """Weighted means of examples, with the weights of several heads that compare inputs."""

    places: MLP
    queries: Linear
    keys: Linear
    values: Linear
    heads: int = eqx.field(static=True)

    def __init__(self, inputs: int, width: int, heads: int, *, key: PRNGKeyArray):
        """Make the heads for inputs of so many numbers and codes of `width`."""
        keys = jax.random.split(key, 4)
        self.places = glorot(MLP((inputs,), hidden=(width, width), key=keys[0]))
        self.queries, self.keys, self.values = (Linear(width, width, key=k) for k in keys[1:])
        self.heads = heads

    def __call__(
        self,
        v: Float[Array, "m d"],
        of_examples: Float[Array, "n d"],
        r: Float[Array, "n width"],
        group: Int[Array, " n"],
        count: int,
    ) -> Float[Array, "m count width"]:
        """Compute, for each query, the weighted mean of each of `count` groups; 0 for an empty
        group."""

        def split(z: Float[Array, "n width"]) -> Float[Array, "n heads part"]:
            return z.reshape(len(z), self.heads, z.shape[1] // self.heads)

        q = split(self.queries(self.places(v)[0]))
        k, values = split(self.keys(self.places(of_examples)[0])), split(self.values(r))
        scores = jnp.einsum("mhd,nhd->mhn", q, k)[:, :, None] / q.shape[-1] ** 0.5
        belongs = group == jnp.arange(count)[:, None]
        highest = jnp.max(jnp.where(belongs, scores, -1e9), axis=-1, keepdims=True)
        weights = jnp.where(belongs, jnp.exp(jnp.where(belongs, scores - highest, 0.0)), 0.0)
        weights = weights / jnp.maximum(jnp.sum(weights, -1, keepdims=True), 1.0)
        return jnp.einsum("mhcn,nhd->mchd", weights, values).reshape(len(q), count, -1)


class Conditioned(Predictor):
    """The code of a context set."""

    learner: CNP
    of_examples: Float[Array, "n d"]
    r: Float[Array, "n width"]
    group: Int[Array, " n"]

    def __call__(self, x: Shaped[Array, "m ..."]) -> Float[Array, "m size"]:
        learner = self.learner
        v = learner.embedding(x)
        if learner.attention is None:
            means = class_means(self.r, self.group, learner.groups)
            r = jnp.broadcast_to(means, (len(v), *means.shape))
        else:
            r = learner.attention(v, self.of_examples, self.r, self.group, learner.groups)
        return learner.decoder(jnp.concatenate([v, r.reshape(len(v), -1)], axis=1))[0]


class CNP(EmbeddingLearner):
    """A network that encodes a set, and a network that predicts targets from the code.

    >>> learner = CNP(MLP((1,), hidden=(), key=key), HeteroscedasticGaussian(), key=key)
    >>> learner.adapt(context, HeteroscedasticGaussian(), key=key)(x).shape    # means and scales
    (50, 2)
    """

    network: Network
    encoder: WithHead
    decoder: WithHead
    attention: Attention | None
    population: Statistics | None
    groups: int = eqx.field(static=True)

    def __init__(
        self,
        network: Network,
        likelihood: Likelihood,
        *,
        targets: int = 1,
        width: int = 128,
        layers: int = 4,
        heads: int = 0,
        key: PRNGKeyArray,
    ):
        """`network` maps inputs to the vectors that are encoded (for numbers, an `MLP` without
        layers). `targets` is the number of target columns where targets are not classes. The
        encoder has `layers` layers; with `heads` there is attention."""
        keys = jax.random.split(key, 5)
        classifies = isinstance(likelihood, Categorical)
        self.groups = likelihood.size if classifies else 1
        inputs = network.outputs
        told = 0 if classifies else targets
        reads = MLP((inputs + told,), hidden=(width,) * (layers - 1), key=keys[0])
        tells = MLP((inputs + self.groups * width,), hidden=(width, width), key=keys[1])
        self.network = network
        self.encoder = glorot(WithHead(reads, width, key=keys[2]))
        self.decoder = glorot(WithHead(tells, likelihood.size, key=keys[3]))
        self.attention = Attention(inputs, width, heads, key=keys[4]) if heads else None
        self.population = None

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.network, self.population)

    @property
    def labels_are_names(self) -> bool:
        return False

    @property
    def absent_last(self) -> bool:
        return False

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Conditioned:
        classifies = isinstance(likelihood, Categorical)
        if likelihood.size != self.decoder.outputs or classifies != (self.groups > 1):
            kinds = {True: "classes", False: "functions"}
            raise ValueError(
                f"this learner gives {self.decoder.outputs} numbers for {kinds[self.groups > 1]}, "
                f"the task needs {likelihood.size} for {kinds[classifies]}"
            )
        v = self.embedding(support.x)
        read = v if classifies else jnp.concatenate([v, likelihood.encode(support.y)], axis=1)
        r, _ = self.encoder(read)
        return Conditioned(self, v, r, groups(support.y, likelihood))
