"""Runs that differ only in their seed: which of them train together, along an axis of seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from quickstudy.learner import Learnable
from quickstudy.record import Record
from quickstudy.task import task_keys


@dataclass(frozen=True)
class SeedRun:
    """The parts of a run that depend on its seed."""

    seed: int
    learner: Learnable
    """The untrained learner; all runs have the same structure."""
    folder: Path | None = None
    configuration: dict[str, Any] | None = None


def newest_of_all(records: Sequence[Record]) -> int | None:
    """Return the newest step for which all records have a checkpoint; None where there is none. A
    run killed while it saved one seed after the other has such a step, because each record keeps
    the checkpoint before the newest one."""
    return max(set.intersection(*(record.steps() for record in records)), default=None)


def groups(steps: Sequence[int], together: bool) -> list[list[int]]:
    """Return groups of runs, by position, that train together: runs at the same step, or each run
    alone.

    >>> groups([0, 70, 0], together=True)
    [[0, 2], [1]]
    """
    if not together:
        return [[i] for i in range(len(steps))]
    return [[i for i, s in enumerate(steps) if s == step] for step in sorted(set(steps))]


def in_structure_of(first: Learnable, learner: Learnable) -> Learnable:
    """Return `learner` with the static part of `first`, so that one compiled program serves both.
    The two may differ only in the values of arrays and in the identity of static functions."""
    arrays, rest = eqx.partition(first, eqx.is_array)
    own = jax.tree.leaves(eqx.filter(learner, eqx.is_array))
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(arrays), own), rest)


def stack(trees: list[PyTree]) -> PyTree:
    """Stack the arrays of `trees` along a new leading axis; return a single tree as it is."""
    return trees[0] if len(trees) == 1 else jax.tree.map(lambda *x: jnp.stack(x), *trees)


@partial(jax.jit, static_argnums=1)
def _unstacked(tree: PyTree, count: int) -> list[PyTree]:
    return [jax.tree.map(itemgetter(i), tree) for i in range(count)]


def unstack(tree: PyTree, count: int) -> list[PyTree]:
    """Undo `stack`."""
    return [tree] if count == 1 else _unstacked(tree, count)


def key_of_task(seeds: Sequence[int], meta_batch: int) -> Callable[[Int[Array, ""]], PRNGKeyArray]:
    """Return the function from a task's number to the key that draws the task. Tasks are numbered
    in the order in which runs with these seeds, trained together, meet them."""
    of_run = jnp.asarray(seeds)

    def key_of(number: Int[Array, ""]) -> PRNGKeyArray:
        number, index = number // meta_batch, number % meta_batch
        key = jax.random.key(of_run[number % len(seeds)])
        return task_keys(jax.random.fold_in(key, number // len(seeds)), index)[0]

    return key_of


def default_together() -> bool:
    """Whether several seeds train together by default: not on a CPU, where that is no faster (see
    `benchmarks/seeds.py`)."""
    return jax.default_backend() != "cpu"
