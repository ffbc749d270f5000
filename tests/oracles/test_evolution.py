"""Evolution strategies against the gradient of what they smooth, in closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from quickstudy import memory
from quickstudy.learner import Learner
from quickstudy.likelihood import Gaussian
from quickstudy.metagradients import Evolution
from quickstudy.metagradients.evolution import centred_ranks
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
    return jax.vmap(lambda key: evolution(learner, NO_TASK, key)[0].omega)(keys)


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
        step = lambda omega: Evolution(pairs)(Wide(omega), NO_TASK, jax.random.key(0))[0].omega  # noqa: E731
        return memory.needed(jax.jit(step).lower(jnp.ones(2**16)).compile())

    assert needed(256) < 1.1 * needed(2)
