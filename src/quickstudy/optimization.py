"""How well an optimiser does on problems that it has never seen, and whether it does better than
another: what `evaluation` is for learners.

Problems, initial points and minibatches are functions of a seed, so that two optimisers meet the
same ones and are compared problem by problem.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.compilation import enable_compilation_cache
from quickstudy.evaluation import Estimate, Met, Result
from quickstudy.metagradients.unrolling import key_of
from quickstudy.optimizers.learned import LearnedOptimizer
from quickstudy.progress import progress
from quickstudy.task import Optimizee, Problems, task_keys

AnyOptimizer = optax.GradientTransformation | LearnedOptimizer


@dataclass(frozen=True)
class Curves:
    """Losses of many minimisations at each step."""

    losses: Float[np.ndarray, "problems steps+1"]
    """f(θ_t) for t from 0; infinite once it is no number."""
    problems: Met
    """Which these are."""
    seconds: float = math.nan

    @property
    def protocol(self) -> dict[str, Any]:
        """The words of the problems."""
        return self.problems.protocol

    def at(self, step: int) -> Estimate:
        """The mean loss after so many steps, over problems, with its interval."""
        return Estimate.of(self.losses[:, step])

    def difference(self, other: "Curves", step: int) -> Estimate:
        """The mean of own loss - the other's after so many steps, problem by problem.

        Raises `ValueError` unless both met the same problems.
        """
        self.problems.require(other.problems)
        return Estimate.of(self.losses[:, step], other.losses[:, step])


def minimise(
    optimizer: AnyOptimizer, problem: Optimizee, steps: int, key: PRNGKeyArray
) -> Float[Array, " steps+1"]:
    """f(θ_0) … f(θ_steps), each on the minibatch of its step."""
    parameters = problem.init(jax.random.fold_in(key, 0))

    def one(carry, t: Int[Array, ""]):
        parameters, state = carry
        loss, gradients = jax.value_and_grad(problem.loss)(parameters, key_of(key, t))
        updates, state = optimizer.update(gradients, state, parameters)
        return (optax.apply_updates(parameters, updates), state), loss

    start = (parameters, optimizer.init(parameters))
    (parameters, _), losses = jax.lax.scan(one, start, jnp.arange(steps))
    return jnp.append(losses, problem.loss(parameters, key_of(key, jnp.asarray(steps))))


@eqx.filter_jit
def _some_curves(
    optimizer: AnyOptimizer,
    problems: Problems,
    key: PRNGKeyArray,
    indices: Int[Array, " n"],
    steps: int,
) -> Float[Array, "n steps+1"]:
    """Of the problems with these numbers, side by side."""

    def one(index: Int[Array, ""]):
        for_task, _ = task_keys(key, index)
        return minimise(optimizer, problems.sample(for_task), steps, for_task)

    return jax.vmap(one)(indices)


COORDINATES_AT_ONCE = 20_000
"""Parameters that are updated side by side, of as many problems as have them together."""


def together(problems: Problems, count: int) -> int:
    """How many of `count` problems are minimised side by side."""
    shapes = jax.eval_shape(lambda key: problems.sample(key).init(key), jax.random.key(0))
    size = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    return max(1, min(count, COORDINATES_AT_ONCE // max(size, 1)))


def minimise_many(
    optimizer: AnyOptimizer,
    problems: Problems,
    *,
    steps: int,
    count: int = 100,
    seed: int = 0,
    show_progress: bool = False,
) -> Curves:
    """Minimise `count` problems, from their own initial points, for `steps` steps each.

    >>> curves = minimise_many(optax.adam(0.1), Quadratics(), steps=100, count=1000)
    >>> curves.at(100).plain()
    '1.193 ± 0.088'
    """
    if count < 1:
        raise ValueError(f"{count} problems: at least 1")
    enable_compilation_cache()
    started = time.monotonic()
    at_once, found = together(problems, count), []
    with progress("minimising", count, show=show_progress) as reporter:
        for start in range(0, count, at_once):
            indices = start + jnp.arange(at_once)
            losses = _some_curves(optimizer, problems, jax.random.key(seed), indices, steps)
            found.append(np.asarray(losses)[: count - start])
            reporter.at(min(start + at_once, count))
    losses = np.concatenate(found).astype(float)
    losses[~np.isfinite(losses)] = np.inf
    met = Met.of(problems, steps=steps, count=count, seed=seed)
    return Curves(losses, met, time.monotonic() - started)


def final_loss(
    optimizer: LearnedOptimizer,
    problems: Problems,
    *,
    steps: int,
    episodes: int = 1000,
    seed: int = 0,
) -> Result:
    """The loss after `steps` steps, as `Validation` takes it."""
    curves = minimise_many(optimizer, problems, steps=steps, count=episodes, seed=seed)
    metrics = {"final loss": curves.losses[:, -1]}
    return Result(metrics, None, "final loss", False, curves.problems, seconds=curves.seconds)
