"""Persistent evolution strategies (Vicol, Metz and Sohl-Dickstein, "Unbiased Gradient Estimation in
Unrolled Computation Graphs with Persistent Evolution Strategies", ICML 2021).

As in truncated back-propagation, a meta-step unrolls only the next K steps of an inner process. But
each of the particles i = 1 … N has its own process, with parameters ω + ε_i that are perturbed
again in every window, ε_i ~ N(0, σ² I), and keeps the sum of its perturbations since its task
began:

    ξ_i ← ξ_i + ε_i,     s_i, L_i ← K steps with ω + ε_i from s_i,
    g = 1/(σ² N) Σ_i ξ_i L_i                                                   (algorithm 2)

So a late loss also counts for early windows. Unlike truncated back-propagation, and unlike
truncated evolution strategies (the same with ε_i instead of ξ_i; `persistent=False`), the estimate
is unbiased for the smoothed objective. Its variance grows with the number of windows, and it stays
finite where the inner process is chaotic. Particles come in antithetic pairs, ε and -ε."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from quickstudy.metagradients.evolution import direction
from quickstudy.metagradients.metagradient import Estimate, MetaGradient, Step
from quickstudy.metagradients.unrolling import Process, Standing, Unrolling
from quickstudy.task import TaskDistribution, TaskKeys


class Pair(NamedTuple):
    """Two particles on the same task."""

    ahead: Standing
    behind: Standing
    sum: PyTree
    """ξ of the first particle; the second has -ξ."""


@dataclass(frozen=True)
class PersistentEvolution(MetaGradient[Pair]):
    """The estimate from `pairs` antithetic pairs for each place of the meta-batch, with
    σ = `deviation`. All pairs of a place are on the same task.

    >>> meta_train(optimizer, problems, optax.adam(1e-3), steps=1000,
    ...            meta_gradient=PersistentEvolution(Unrolling(20, 100), pairs=8))
    """

    unrolling: Unrolling
    pairs: int = 8
    deviation: float = 0.01
    persistent: bool = True

    def start(self, learner: Process, tasks: TaskDistribution, key: PRNGKeyArray) -> Pair:
        return self.around(learner, self.unrolling.start(learner, tasks, key))

    def around(self, learner: Any, standing: Standing) -> Pair:
        """Put all particles into the state of one process, without perturbations."""
        zero = jax.tree.map(jnp.zeros_like, eqx.filter(learner, eqx.is_inexact_array))
        one = Pair(standing, standing, zero)
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (self.pairs, *x.shape)), one)

    def __call__(
        self, learner: Any, tasks: TaskDistribution, carried: Pair, keys: TaskKeys, step: Step
    ) -> Estimate[Pair]:
        omega, fixed = eqx.partition(learner, eqx.is_inexact_array)
        for_task, for_directions = jax.random.split(keys[0])

        def of_pair(pair: Pair, key: PRNGKeyArray):
            first = pair.ahead.done >= pair.ahead.horizon
            eps = jax.tree.map(lambda e: self.deviation * e, direction(key, omega))
            total = jax.tree.map(lambda s, e: jnp.where(first, 0, s) + e, pair.sum, eps)

            def go_on(standing: Standing, sign: float):
                perturbed = jax.tree.map(lambda w, e: w + sign * e, omega, eps)
                particle = eqx.combine(perturbed, fixed)
                now = self.unrolling.current(particle, tasks, standing, for_task, step)
                return self.unrolling.unroll(particle, tasks, now, first_order=True)

            above, ahead = go_on(pair.ahead, 1.0)
            below, behind = go_on(pair.behind, -1.0)
            weight = (above - below) / (2 * self.deviation**2)
            counts = total if self.persistent else eps
            gradient = jax.tree.map(lambda s: weight * s, counts)
            return gradient, (above + below) / 2, Pair(ahead, behind, total)

        of_pairs = jax.random.split(for_directions, self.pairs)
        gradients, losses, carried = jax.vmap(of_pair)(carried, of_pairs)
        gradient = jax.tree.map(lambda g: jnp.mean(g, 0), gradients)
        return gradient, {"loss": jnp.mean(losses)}, carried
