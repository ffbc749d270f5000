"""The meta-gradient from values of the meta-objective alone (Salimans et al. 2017, "Evolution
Strategies as a Scalable Alternative to Reinforcement Learning"; Song et al., "ES-MAML", ICLR 2020),
for learners whose adaptation cannot be differentiated.

The objective is smoothed, F_σ(ω) = E_ε F(ω + σ ε) with ε ~ N(0, I), and

    ∇F_σ(ω) = 1/(2σ) E_ε [(F(ω + σ ε) - F(ω - σ ε)) ε]

(antithetic pairs). With ranks, each of the 2n values is replaced by its rank among them, spread
evenly over [-1/2, 1/2]. So no large value dominates, and the direction has no scale, which suits
Adam.

Difference from ES-MAML: the paper draws one perturbation for each task of the meta-batch; here each
task has its own `pairs`, which determine the variance of its estimate."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.learner import Learner, Metrics
from quickstudy.metagradients.backpropagation import loss_and_metrics
from quickstudy.metagradients.metagradient import Estimate, MetaGradient, Step
from quickstudy.task import Episode, TaskDistribution, TaskKeys


@dataclass(frozen=True)
class Evolution(MetaGradient[tuple[()]]):
    """A meta-gradient by `pairs` antithetic pairs of perturbations with the standard deviation σ =
    `deviation`. Directions are drawn again from their keys when they are needed, so any number of
    pairs needs the memory of one evaluation.

    >>> meta_train(learner, tasks, optax.adam(1e-3), steps=1000, meta_gradient=Evolution(64))
    """

    pairs: int
    deviation: float = 0.05
    ranks: bool = True

    def __call__(
        self, learner: Any, tasks: TaskDistribution, carried: tuple[()], keys: TaskKeys, step: Step
    ) -> Estimate[tuple[()]]:
        for_task, for_learner = keys
        return *self.of_task(learner, tasks.sample(for_task), for_learner), carried

    def of_task(self, learner: Learner, task: Episode, key: PRNGKeyArray) -> tuple[PyTree, Metrics]:
        """Estimate ∇F_σ(ω) on one task, and average the metrics of the perturbed learners."""
        trained, fixed = eqx.partition(learner, eqx.is_inexact_array)
        for_directions, for_learner = jax.random.split(key)

        def value(omega: PyTree) -> Metrics:
            return loss_and_metrics(eqx.combine(omega, fixed), task, for_learner)

        def of_pair(key: PRNGKeyArray) -> PyTree:
            step = jax.tree.map(lambda e: self.deviation * e, direction(key, trained))
            ahead = value(jax.tree.map(jnp.add, trained, step))
            behind = value(jax.tree.map(jnp.subtract, trained, step))
            return jax.tree.map(lambda a, b: jnp.stack([a, b]), ahead, behind)

        keys = jax.random.split(for_directions, self.pairs)
        metrics = jax.lax.map(of_pair, keys)
        values = centred_ranks(metrics["loss"]) if self.ranks else metrics["loss"]
        weights = (values[:, 0] - values[:, 1]) / (2 * self.deviation * self.pairs)

        def add(total: PyTree, one: tuple[PRNGKeyArray, Float[Array, ""]]):
            key, weight = one
            return jax.tree.map(lambda t, e: t + weight * e, total, direction(key, trained)), None

        zero = jax.tree.map(jnp.zeros_like, trained)
        gradient, _ = jax.lax.scan(add, zero, (keys, weights))
        return gradient, jax.tree.map(jnp.mean, metrics)


def direction(key: PRNGKeyArray, like: PyTree) -> PyTree:
    """ε ~ N(0, I), in the form of `like`."""
    leaves, structure = jax.tree.flatten(like)
    drawn = [
        jax.random.normal(k, leaf.shape, leaf.dtype)
        for k, leaf in zip(jax.random.split(key, len(leaves)), leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


def centred_ranks(values: Float[Array, "..."]) -> Float[Array, "..."]:
    """Replace each value by its rank, from -1/2 for the smallest to 1/2 for the largest.

    >>> centred_ranks(jnp.asarray([7.0, -1.0, 3.0]))
    Array([ 0.5, -0.5,  0. ], dtype=float32)
    """
    flat = values.ravel()
    places = jnp.argsort(jnp.argsort(flat)).astype(flat.dtype)
    return (places / (flat.size - 1) - 0.5).reshape(values.shape)
