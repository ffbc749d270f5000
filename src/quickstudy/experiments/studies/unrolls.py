"""Truncated or persistent? (Vicol, Metz and Sohl-Dickstein, ICML 2021)

A meta-step that looks at K of an inner process's T steps is cheap in memory, and what it estimates
is another gradient than that of the whole process, or a noisier one. Here the process is gradient
descent with momentum, and its rate and decay are the meta-parameters. For several K we follow many
problems from start to end with these as they are, and take the mean of what all windows say: one
pass, which costs T inner steps whatever K (and as much for each particle of an evolution strategy).
Against the gradient ∇L of the whole process, by back-propagation through all T steps of the same
problems,

    bias      ‖mean over problems of (estimate - gradient)‖ / ‖∇L‖
    variance  mean over problems of ‖estimate - its mean‖² / ‖∇L‖²

An interval of the bias is that of the vector, 1.96 √(tr Cov / n) / ‖∇L‖: a bias within it is not to
be told from none. Last, the compiler says what memory a meta-step takes.

Differences from the paper: its problems are a toy of two dimensions, the influence balancing
problem, and hyperparameters and learned optimisers of larger networks.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy import memory
from quickstudy.estimate import NORMAL_QUANTILE, Estimate
from quickstudy.experiments.diagrams import Panel
from quickstudy.experiments.published.recipe import Budget
from quickstudy.experiments.studies.study import Study, Trained
from quickstudy.metagradients.persistent_evolution import Pair, PersistentEvolution
from quickstudy.metagradients.unrolling import Standing, TruncatedBackpropagation, Unrolling
from quickstudy.optimizers.learned import LearnedOptimizer, flattened
from quickstudy.optimizers.mlp import CoordinatewiseMLP
from quickstudy.optimizers.momentum import LearnedMomentum
from quickstudy.task import TaskDistribution
from quickstudy.tasks.problems.quadratics import Quadratics

HORIZON = 100
WINDOWS = (1, 5, 20, 50, 100)
PROBLEMS = {"cpu": 500, "full": 10000}
PAIRS, DEVIATION = 4, 0.01
LONGER = (100, 200, 500, 1000, 2000)
MIB = 1 << 20

Lines = dict[str, dict[str, Estimate]]
Estimator = TruncatedBackpropagation | PersistentEvolution


def estimators(window: int, horizon: int = HORIZON) -> dict[str, Estimator]:
    """All that look at `window` steps at a time."""
    unrolling = Unrolling(window, horizon)
    return {
        "back-propagation": TruncatedBackpropagation(unrolling, first_order=False),
        "back-propagation, first order": TruncatedBackpropagation(unrolling),
        "evolution": PersistentEvolution(unrolling, PAIRS, DEVIATION, persistent=False),
        "persistent evolution": PersistentEvolution(unrolling, PAIRS, DEVIATION),
    }


@eqx.filter_jit
def passes(
    estimator: Estimator,
    optimizer: LearnedOptimizer,
    problems: TaskDistribution,
    keys: PRNGKeyArray,
) -> Float[Array, "n d"]:
    """For the problem of each key, the mean of the estimates of all windows, from its start to its
    end, with an optimiser that stays as it is."""
    unrolling = estimator.unrolling
    windows = unrolling.horizon // unrolling.window

    def one(key: PRNGKeyArray) -> Float[Array, " d"]:
        standing = unrolling.begin(optimizer, problems, key, jnp.asarray(0))
        carried: Standing | Pair = standing
        if isinstance(estimator, PersistentEvolution):
            carried = estimator.around(optimizer, standing)

        def window(carried, key: PRNGKeyArray):
            keys = (key, key)  # the second one is for learners
            gradient, _, carried = estimator(optimizer, problems, carried, keys, jnp.asarray(0))
            return carried, flattened(eqx.filter(gradient, eqx.is_inexact_array))[0]

        _, found = jax.lax.scan(window, carried, jax.random.split(key, windows))
        return jnp.mean(found, 0)

    return jax.vmap(one)(keys)


def bias_and_variance(
    found: Float[np.ndarray, "n d"], true: Float[np.ndarray, "n d"]
) -> tuple[Estimate, Estimate]:
    """Of estimates, given the gradients on the same problems."""
    n, length = len(true), float(np.linalg.norm(true.mean(0)))
    error = found - true
    spread = NORMAL_QUANTILE * float(np.sqrt(error.var(0, ddof=1).sum() / n))
    bias = Estimate(float(np.linalg.norm(error.mean(0))) / length, spread / length, n)
    return bias, Estimate.of(np.sum((found - found.mean(0)) ** 2, 1) / length**2)


def bytes_needed(
    estimator: Estimator, optimizer: LearnedOptimizer, problems: TaskDistribution
) -> int:
    """Of one place's share in a meta-step, beyond the optimiser and the data."""
    arrays, rest = eqx.partition(optimizer, eqx.is_array)
    start = functools.partial(estimator.start, tasks=problems, key=jax.random.key(0))
    carried = eqx.filter_eval_shape(start, optimizer)

    def step(arrays: PyTree, carried: PyTree, key: PRNGKeyArray) -> PyTree:
        place = eqx.combine(arrays, rest), problems, carried, (key, key), jnp.asarray(0)
        gradient, _, after = estimator(*place)
        return eqx.filter((gradient, after), eqx.is_array)

    return memory.needed(jax.jit(step).lower(arrays, carried, jax.random.key(0)).compile())


def panels(budget: Budget, trained: Trained) -> Iterator[Panel]:
    """Bias and variance against the window, and memory against the horizon."""
    optimizer, problems = LearnedMomentum(0.003, 0.9), Quadratics()
    keys = jax.random.split(jax.random.key(1), PROBLEMS[budget])
    true = passes(estimators(HORIZON)["back-propagation"], optimizer, problems, keys)
    biases: Lines = {}
    variances: Lines = {}
    for window in WINDOWS:
        for line, estimator in estimators(window).items():
            found = passes(estimator, optimizer, problems, keys)
            bias, variance = bias_and_variance(np.asarray(found, float), np.asarray(true, float))
            biases.setdefault(line, {})[str(window)] = bias
            variances.setdefault(line, {})[str(window)] = variance
    yield Panel("Bias of the meta-gradient", "window", "relative bias", biases)
    yield Panel("Variance of the meta-gradient", "window", "relative variance", variances, "xy")

    perceptron, larger = CoordinatewiseMLP(key=jax.random.key(0)), Quadratics(100)
    sizes: Lines = {}
    for horizon in LONGER:
        short, long = estimators(20, horizon), estimators(horizon, horizon)
        for line, estimator in {
            "back-propagation, all steps": long["back-propagation"],
            "back-propagation, 20 steps": short["back-propagation"],
            "persistent evolution, 20 steps": short["persistent evolution"],
        }.items():
            size = bytes_needed(estimator, perceptron, larger) / MIB
            sizes.setdefault(line, {})[str(horizon)] = Estimate(size, 0.0, 1)
    yield Panel("Memory of a meta-step", "horizon", "MiB", sizes, "xy")


STUDY = Study(
    "Truncated or persistent?",
    "Vicol et al. 2021",
    f"horizon {HORIZON}, means of {PROBLEMS['cpu']} problems (full: {PROBLEMS['full']}), "
    f"evolution with {PAIRS} antithetic pairs and σ = {DEVIATION}; quadratics in 10 dimensions; "
    "gradient descent at rate 0.003 with momentum 0.9; memory of a perceptron of 2 × 32 units for "
    "each of 100 coordinates",
    panels,
)
