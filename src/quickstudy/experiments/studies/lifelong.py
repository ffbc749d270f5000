"""How well does a memory of fixed size know classes that are rare in a long stream? (Kaiser et al.,
ICLR 2017)

The examples of a thousand test classes come in one random order, ten of each: thousands of them, in
which a class comes up once in a thousand. Each is asked about and then told to a memory that is
never cleared; what the trained network is was fixed before. The answer is the nearest key's class
among all thousand. The first time that a class comes up it cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from quickstudy.data.kind import Classes
from quickstudy.estimate import Estimate
from quickstudy.experiments.diagrams import Panel
from quickstudy.experiments.published.omniglot import OMNIGLOT
from quickstudy.experiments.published.reading import memory_module_omniglot
from quickstudy.experiments.published.recipe import Budget
from quickstudy.experiments.studies.study import Study, Trained
from quickstudy.learners.memory.memory_module import Memory, MemoryModule
from quickstudy.settings.learners import MemoryModuleSettings

CLASSES = 1000
EACH = 10
SLOTS = (8192, 2000, 1000, 500)


@eqx.filter_jit
def remembered(
    memory: Memory, q: Float[Array, "n d"], y: Int[Array, " n"], key: PRNGKeyArray
) -> Bool[Array, " n"]:
    """Which examples of a stream are known when they come; each is told afterwards."""

    def step(memory: Memory, example: tuple[Array, Array, Array]) -> tuple[Memory, Array]:
        q, y, key = example
        return memory.told(q, y, key=key), memory.nearest(q) == y

    return jax.lax.scan(step, memory, (q, y, jax.random.split(key, len(y))))[1]


def by_presentation(known: np.ndarray, y: np.ndarray) -> dict[str, Estimate]:
    """The share of examples known, by how often their class has come up with them."""
    times = np.zeros(len(y), int)
    for c in np.unique(y):
        times[y == c] = np.arange(1, np.sum(y == c) + 1)
    return {str(k): Estimate.of(known[times == k] * 1.0) for k in range(1, EACH + 1)}


def panels(budget: Budget, trained: Trained) -> Iterator[Panel]:
    """One stream, and memories of several sizes."""
    runs = [f.run for f in memory_module_omniglot(budget).figures]
    run = next(r for r in runs if isinstance(r.learner, MemoryModuleSettings))
    learner = cast(MemoryModule, trained(run))
    source = cast(Classes, OMNIGLOT.data).source("test")
    choose, draw, order, ties = jax.random.split(jax.random.key(0), 4)
    classes = jax.random.permutation(choose, source.classes)[:CLASSES]

    @eqx.filter_jit
    def keys_of(learner: MemoryModule) -> Float[Array, "classes each d"]:
        def of_class(given: tuple[Array, Array]) -> Array:
            return learner.keys_of(source.draw(given[0], given[1], EACH))

        return jax.lax.map(of_class, (jax.random.split(draw, CLASSES), classes))

    q = keys_of(learner).reshape(CLASSES * EACH, -1)
    y = jnp.repeat(jnp.arange(CLASSES), EACH)
    mixed = jax.random.permutation(order, len(y))
    q, y = q[mixed], y[mixed]
    lines = {}
    for slots in SLOTS:
        known = remembered(Memory.empty(slots, q.shape[1]), q, y, ties)
        lines[f"{slots:,} slots"] = by_presentation(np.asarray(known), np.asarray(y))
    yield Panel(
        f"A stream of {CLASSES * EACH:,} examples of {CLASSES:,} classes",
        "how often the class has come up",
        "accuracy",
        lines,
    )


STUDY = Study(
    "Rare classes in a long stream",
    "Kaiser et al. 2017",
    f"Omniglot, {CLASSES:,} test classes, {EACH} examples of each in one random order; intervals "
    "over examples",
    panels,
)
