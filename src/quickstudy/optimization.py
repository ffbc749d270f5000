"""Measure an optimiser on problems that it has never seen, and compare it with others, step by
step: `Curves` for optimisers are like a `Result` for learners.

Problems, initial points and minibatches are functions of a seed, so two optimisers are tested on
the same problems and compared problem by problem."""

import math
import time
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.compilation import enable_compilation_cache
from quickstudy.estimate import Estimate
from quickstudy.evaluation import Met
from quickstudy.optimizers.learned import (
    COORDINATES_AT_ONCE,
    AnyOptimizer,
    Trial,
    coordinates,
    minimise,
)
from quickstudy.progress import progress
from quickstudy.task import Problems, TaskDistribution, task_keys


@dataclass(frozen=True)
class Curves:
    """Losses of many minimisations at each step."""

    losses: Float[np.ndarray, "problems steps+1"]
    """f(θ_t) for t from 0; infinite from the first step at which it is not a number."""
    problems: Met
    """The problems of the test."""
    seconds: float = math.nan

    @property
    def protocol(self) -> dict[str, Any]:
        """The protocol of the problems."""
        return self.problems.protocol

    def at(self, step: int) -> Estimate:
        """Estimate the mean loss after so many steps, over problems, with its interval."""
        return Estimate.of(self.losses[:, step])

    def difference(self, other: "Curves", step: int) -> Estimate:
        """Estimate the mean difference of the losses, own - other, after so many steps, paired by
        problem.

        Raises `ValueError` unless both were tested on the same problems."""
        self.problems.require(other.problems)
        return Estimate.of(self.losses[:, step], other.losses[:, step])


class Trials(TaskDistribution[Trial]):
    """Problems to minimise in `steps` steps each: the tasks that `evaluate` takes for an optimiser.

    >>> result = evaluate(optimizer, Trials(Quadratics(), steps=100))
    >>> result.metrics["final loss"].shape
    (20,)
    """

    problems: Problems
    steps: int = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray) -> Trial:
        return Trial(self.problems.sample(key), key, self.steps)

    def protocol(self) -> dict[str, Any]:
        return {**self.problems.protocol(), "steps": self.steps}


@eqx.filter_jit
def _some_curves(
    optimizer: AnyOptimizer,
    problems: Problems,
    key: PRNGKeyArray,
    indices: Int[Array, " n"],
    steps: int,
) -> Float[Array, "n steps+1"]:
    """Minimise the problems with these numbers in parallel."""

    def one(index: Int[Array, ""]):
        for_task, _ = task_keys(key, index)
        return minimise(optimizer, problems.sample(for_task), steps, for_task)

    return jax.vmap(one)(indices)


def together(problems: Problems, count: int) -> int:
    """Choose how many of `count` problems are minimised in parallel."""
    return max(1, min(count, COORDINATES_AT_ONCE // coordinates(problems.sample)))


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
