"""Evolution strategies against the gradient of what they smooth, in closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from quickstudy import memory
from quickstudy.learner import Learner
from quickstudy.learners.gradient.hill_climbing import HillClimbing
from quickstudy.likelihood import Gaussian
from quickstudy.metagradients import Evolution
from quickstudy.metagradients.evolution import centred_ranks, direction
from quickstudy.networks import MLP, WithHead
from quickstudy.task import Episode, Examples

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 3)).astype(np.float32)
A = A @ A.T
OMEGA = RNG.normal(size=3).astype(np.float32)
NO_TASK = Episode(*[Examples(jnp.zeros((0, 1)), jnp.zeros((0, 1)))] * 2, Gaussian(1))


class Bowl(Learner):
    """F(ω) = ωᵀAω/2 + Σ cos(ω), rounded down for one that has no slope at all."""

    omega: Array
    steps: bool = eqx.field(static=True, default=False)

    def adapt(self, support, likelihood, *, key):
        raise NotImplementedError

    def loss(self, task, *, key):
        value = self.omega @ A @ self.omega / 2 + jnp.sum(jnp.cos(self.omega))
        return (jnp.floor(20 * value) / 20 if self.steps else value), {"seen": value}


@eqx.filter_jit
def estimates(learner: Bowl, evolution: Evolution, count: int = 400):
    keys = jax.random.split(jax.random.key(1), count)
    return jax.vmap(lambda key: evolution.of_task(learner, NO_TASK, key)[0].omega)(keys)


@pytest.mark.parametrize("steps", [False, True])
def test_without_ranks_it_is_unbiased_for_the_smoothed_objective(steps: bool):
    """E F(ω + σε) = ωᵀAω/2 + σ² tr A/2 + exp(-σ²/2) Σ cos(ω); rounding, on average, takes off a
    constant."""
    evolution = Evolution(pairs=16, deviation=0.5, ranks=False)
    found = np.asarray(estimates(Bowl(jnp.asarray(OMEGA), steps), evolution))
    expected = A @ OMEGA - np.exp(-(0.5**2) / 2) * np.sin(OMEGA)
    error = found.std(0) / np.sqrt(len(found))
    np.testing.assert_array_less(np.abs(found.mean(0) - expected), 4 * error)
    assert np.all(4 * error < 0.2 * np.linalg.norm(expected))


def test_ranks_keep_the_direction_and_no_scale():
    learner = Bowl(jnp.asarray(OMEGA))
    evolution = Evolution(pairs=16, deviation=0.01)
    found = np.asarray(estimates(learner, evolution)).mean(0)
    slope = A @ OMEGA - np.sin(OMEGA)
    cosine = found @ slope / np.linalg.norm(found) / np.linalg.norm(slope)
    assert cosine > 0.98
    ranks = np.asarray(centred_ranks(jnp.asarray([[3.0, 1e9], [-2.0, 4.0]])))
    np.testing.assert_allclose(ranks, [[-1 / 6, 0.5], [-0.5, 1 / 6]], rtol=1e-6)


def test_memory_does_not_grow_with_pairs():
    class Wide(Bowl):
        def loss(self, task, *, key):
            return jnp.sum(jnp.sin(self.omega)), {}

    def needed(pairs: int) -> int:
        def step(omega):
            gradient, _ = Evolution(pairs).of_task(Wide(omega), NO_TASK, jax.random.key(0))
            return gradient.omega

        return memory.needed(jax.jit(step).lower(jnp.ones(2**16)).compile())

    assert needed(256) < 1.1 * needed(2)


def climbing(steps: int, candidates: int = 8) -> HillClimbing:
    network = WithHead(MLP((1,), hidden=(6,), key=jax.random.key(0)), 1, key=jax.random.key(0))
    return HillClimbing(network, 0.1, candidates, train_steps=steps, test_steps=steps)


X = jnp.asarray(RNG.normal(size=(7, 1)), jnp.float32)
SUPPORT = Examples(X, jnp.sin(X))


@eqx.filter_jit
def climbed(learner: HillClimbing, key):
    adapted = learner.adapt(SUPPORT, Gaussian(1), key=key)
    return adapted.network, Gaussian(1).mean_loss(adapted(SUPPORT.x), SUPPORT.y)


def test_hill_climbing_takes_the_best_of_its_candidates():
    """One step, written out: the network as it is, and each perturbation."""
    learner, key = climbing(1), jax.random.key(3)
    arrays, rest = eqx.partition(learner.network, eqx.is_inexact_array)
    keys = jax.random.split(jax.random.split(key, 1)[0], 8)
    tried = [arrays] + [
        jax.tree.map(lambda p, g: p + 0.1 * g, arrays, direction(k, arrays)) for k in keys
    ]
    loss_of = jax.jit(
        lambda t: Gaussian(1).mean_loss(eqx.combine(t, rest)(SUPPORT.x)[0], SUPPORT.y)
    )
    losses = [float(loss_of(t)) for t in tried]
    network, loss = climbed(learner, key)
    assert float(loss) == pytest.approx(min(losses), rel=1e-5)
    best = jax.tree.leaves(tried[int(np.argmin(losses))])
    for a, b in zip(jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array)), best, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_hill_climbing_never_climbs_down_and_gets_somewhere():
    """From losses at the start, with no step, to those after more and more."""
    losses = np.asarray(
        [
            [float(climbed(climbing(steps), jax.random.key(seed))[1]) for seed in range(5)]
            for steps in (0, 1, 20)
        ]
    )
    assert np.all(np.diff(losses, axis=0) <= 0)
    assert np.all(losses[2] < losses[0] - 0.02)
