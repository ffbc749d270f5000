"""Runs that differ in their seed alone, in one program with an axis of seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from quickstudy.learner import Learnable
from quickstudy.record import Record


@dataclass(frozen=True)
class SeedRun:
    """What each of several runs that differ in their seed alone has of its own."""

    seed: int
    learner: Learnable
    """Untrained; all runs' have one structure."""
    folder: Path | None = None
    configuration: dict[str, Any] | None = None


def newest_of_all(records: Sequence[Record]) -> int | None:
    """The newest step that all have a checkpoint of; None where there is none. A run that was
    killed while it saved one seed after the other has it, as each keeps the one before."""
    return max(set.intersection(*(record.steps() for record in records)), default=None)


def groups(steps: Sequence[int], together: bool) -> list[list[int]]:
    """Which runs, by place, are trained at a time: those that stand at one step, or each alone.

    >>> groups([0, 70, 0], together=True)
    [[0, 2], [1]]
    """
    if not together:
        return [[i] for i in range(len(steps))]
    return [[i for i, s in enumerate(steps) if s == step] for step in sorted(set(steps))]


def in_structure_of(first: Learnable, learner: Learnable) -> Learnable:
    """The arrays of `learner` in `first`, which differs from it in nothing else but the identity
    of its functions: so that one program serves both."""
    arrays, rest = eqx.partition(first, eqx.is_array)
    own = jax.tree.leaves(eqx.filter(learner, eqx.is_array))
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(arrays), own), rest)


def stack(trees: list[PyTree]) -> PyTree:
    """Arrays with a leading axis over `trees`; a single tree as it is."""
    return trees[0] if len(trees) == 1 else jax.tree.map(lambda *x: jnp.stack(x), *trees)


@partial(jax.jit, static_argnums=1)
def _unstacked(tree: PyTree, count: int) -> list[PyTree]:
    return [jax.tree.map(itemgetter(i), tree) for i in range(count)]


def unstack(tree: PyTree, count: int) -> list[PyTree]:
    """The inverse of `stack`."""
    return [tree] if count == 1 else _unstacked(tree, count)


def default_together() -> bool:
    """Whether several seeds are trained together: not on a CPU, where that is no faster (see
    `benchmarks/seeds.py`)."""
    return jax.default_backend() != "cpu"
