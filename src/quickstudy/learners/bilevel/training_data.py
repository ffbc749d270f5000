"""Learned training data: weights of examples, and augmentation (Ren et al., "Learning to Reweight
Examples for Robust Deep Learning", ICML 2018; Shu et al., "Meta-Weight-Net", NeurIPS 2019).

A network with parameters w trains on data that φ changes, and φ is good if a step on that data
lowers the loss on a few clean examples D_v:

    L(w, φ) = Σ_i v_i ℓ(f_w(x̃_i), y_i) / Σ_i v_i       weights v and inputs x̃ by φ
    w'(φ) = w - α ∇_w L(w, φ)                           one step ahead      (Shu et al., eq. 3)
    φ ← φ - β ∇_φ L_v(w'(φ))                                                (eq. 4)
    w ← w - α' ∇_w L(w, φ)                                                  (eq. 5)

It is meta-learning without episodes: a task is a batch of training examples (support set) with
their numbers, and a batch of clean ones (query set). Both w and φ are leaves of the learner, and
its loss is L_v(w'(φ)) with w constant + L(w, φ) with φ constant, so back-propagation gives each its
own gradient.

Differences from the papers: weights sum to one within a batch, as in Ren et al., and persist from
step to step, as in Shu et al.; w and φ are updated at the same time, the papers update φ first."""

from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.learner import Learner, Metrics
from quickstudy.learners.adapted import NetworkPredictor
from quickstudy.learners.descent import descend
from quickstudy.likelihood import Likelihood
from quickstudy.networks.layers import Linear
from quickstudy.networks.network import Network
from quickstudy.networks.resampling import resampled
from quickstudy.task import Episode, Examples


class TrainingData(eqx.Module):
    """φ: the weights of training examples, and their transformation. By default nothing changes."""

    def inputs(self, x: Float[Array, "n ..."], key: PRNGKeyArray) -> Float[Array, "n ..."]:
        """x̃."""
        return x

    def weights(self, numbers: Int[Array, " n"], losses: Float[Array, " n"]) -> Float[Array, " n"]:
        """Compute v, each above 0, from the numbers of the examples and from their losses, which
        are constants."""
        return jnp.ones_like(losses)


class FreeWeights(TrainingData):
    """One number for each training example: v_i = sigmoid(φ_i).

    >>> FreeWeights(jnp.zeros(60_000)).weights(jnp.asarray([7]), jnp.asarray([2.3]))
    Array([0.5], dtype=float32)
    """

    logits: Float[Array, " examples"]

    def weights(self, numbers: Int[Array, " n"], losses: Float[Array, " n"]) -> Float[Array, " n"]:
        return jax.nn.sigmoid(self.logits[numbers])


class LossWeights(TrainingData):
    """A small network from a loss to a weight: v_i = sigmoid(V(ℓ_i)) (Meta-Weight-Net, one hidden
    layer)."""

    hidden: Linear
    output: Linear

    def __init__(self, width: int = 100, *, key: PRNGKeyArray):
        for_hidden, for_output = jax.random.split(key)
        self.hidden = Linear(1, width, key=for_hidden)
        self.output = Linear(width, 1, key=for_output)

    def weights(self, numbers: Int[Array, " n"], losses: Float[Array, " n"]) -> Float[Array, " n"]:
        hidden = jax.nn.relu(self.hidden(losses[:, None]))
        return jax.nn.sigmoid(self.output(hidden)[:, 0])


class NoisyInputs(TrainingData):
    """Augmentation by Gaussian noise of a learned strength: x̃ = x + exp(s) ε."""

    log_deviation: Float[Array, ""]

    def inputs(self, x: Float[Array, "n ..."], key: PRNGKeyArray) -> Float[Array, "n ..."]:
        return x + jnp.exp(self.log_deviation) * jax.random.normal(key, x.shape, x.dtype)


class WarpedInputs(TrainingData):
    """Augmentation of images by rotation, scaling and translation of learned strengths:

        x̃(p) = x(e^{-s_2 ε_2} R(-s_1 ε_1) (p - s_3 (ε_3, ε_4)))        s = exp(log_strengths)

    for points p = (row, column) from the middle, rotations R and ε ~ N(0, I) for each image.

    >>> WarpedInputs(jnp.log(jnp.asarray([0.1, 0.1, 1.0])))
    """

    log_strengths: Float[Array, " 3"]
    """Logarithms of the standard deviations of the angle in radians, of the logarithm of the
    scale, and of each coordinate's shift in pixels."""

    def inputs(self, x: Float[Array, "n h w c"], key: PRNGKeyArray) -> Float[Array, "n h w c"]:
        angle, scale, shift = jnp.exp(self.log_strengths)

        def warped(image: Float[Array, "h w c"], e: Float[Array, " 4"]) -> Float[Array, "h w c"]:
            cosine, sine = jnp.cos(angle * e[0]), jnp.sin(angle * e[0])
            turned_back = jnp.asarray([[cosine, sine], [-sine, cosine]])
            return resampled(image, jnp.exp(-scale * e[1]) * turned_back, shift * e[2:])

        return jax.vmap(warped)(x, jax.random.normal(key, (len(x), 4), x.dtype))


@runtime_checkable
class Numbered(Protocol):
    """An episode whose support examples come from a fixed list."""

    numbers: Int[Array, " n"]
    """The index of each support example in the list."""


class LearnedData(Learner):
    """A network, and the training data that it is trained on.

    `rate` is α of the step ahead. There is no adapting: the predictor is the network.

    >>> LearnedData(WithHead(MLP((28, 28, 1), key=key), 10, key=key), FreeWeights(jnp.zeros(n)))
    """

    network: Network
    data: TrainingData
    rate: float = eqx.field(static=True, default=0.1)

    @property
    def labels_are_names(self) -> bool:
        return False

    @property
    def absent_last(self) -> bool:
        return False

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> NetworkPredictor:
        if self.network.outputs != likelihood.size:
            raise ValueError(
                f"this network has {self.network.outputs} outputs, the task needs {likelihood.size}"
            )
        return NetworkPredictor(self.network, None)

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        if not isinstance(task, Numbered):
            raise ValueError("learned training data needs numbered examples: a NumberedEpisode")
        numbers = task.numbers
        likelihood, query = task.likelihood, task.query

        def on_data(network: Network, data: TrainingData) -> Float[Array, ""]:
            predictions = network(data.inputs(task.support.x, key))[0]
            losses = likelihood.negative_log_likelihood(predictions, task.support.y)
            v = data.weights(numbers, jax.lax.stop_gradient(losses))
            return jnp.sum(v * losses) / jnp.sum(v)

        training = on_data(self.network, held(self.data))
        ahead = descend(
            lambda network: on_data(network, self.data),
            held(self.network),
            optax.sgd(self.rate),
            steps=1,
        )
        clean = likelihood.mean_loss(ahead(query.x)[0], query.y)
        metrics = likelihood.metrics(ahead(query.x)[0], query.y)
        return training + clean, {"training": training, **metrics}


def held(tree):
    """Return the tree as a constant for differentiation."""
    arrays, rest = eqx.partition(tree, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)
