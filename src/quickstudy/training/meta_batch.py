"""The gradient of one training step: the mean over the tasks of a meta-batch, which devices
share."""

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from quickstudy.devices import AXIS, BY_TASK, EVERYWHERE, task_mesh
from quickstudy.errors import UserError
from quickstudy.learner import Learnable, Metrics
from quickstudy.metagradients import MetaGradient
from quickstudy.task import Task, TaskDistribution, task_keys


def mean_gradient(
    learner: Learnable,
    tasks: TaskDistribution[Task],
    key: PRNGKeyArray,
    meta_gradient: MetaGradient[Any],
    meta_batch: int,
    at_once: int,
    mesh: Mesh,
    carried: PyTree = (),
    step: int | Int[Array, ""] = 0,
) -> tuple[PyTree, Metrics, PyTree]:
    """Average the meta-gradients and the metrics over the meta-batch that `key` draws.

    Returns both means, and the state of each place for the next step; `carried` is the state of
    each place now, with a leading axis of places. The devices of the mesh share the places; each
    computes groups of `at_once` places in parallel, one group after the other."""
    arrays, rest = eqx.partition((learner, tasks), eqx.is_array)

    def of_device(arrays: PyTree, key: PRNGKeyArray, step: Int[Array, ""], places: PyTree):
        learner, tasks = eqx.combine(arrays, rest)

        def of_group(places: PyTree):
            if at_once == 1:  # without `vmap` over one place: it is slower and rounds differently
                number, carried = jax.tree.map(itemgetter(0), places)
                keys = task_keys(key, number)
                gradient, metrics, after = meta_gradient(learner, tasks, carried, keys, step)
                after = jax.tree.map(lambda x: x[None], after)
            else:
                numbers, carried = places
                keys = jax.vmap(partial(task_keys, key))(numbers)
                found = meta_gradient.of_several(learner, tasks, carried, keys, step)
                gradient, metrics, after = found
            return (eqx.filter(gradient, eqx.is_inexact_array), metrics), after

        mean, after = mean_over_groups(of_group, places, at_once)
        of_all = jax.tree.map(lambda x: jax.lax.all_gather(x, AXIS, tiled=True), after)
        return jax.lax.pmean(mean, AXIS), of_all

    (gradient, metrics), after = jax.shard_map(
        of_device,
        mesh=mesh,
        in_specs=(EVERYWHERE, EVERYWHERE, EVERYWHERE, BY_TASK),
        out_specs=EVERYWHERE,
        check_vma=False,
    )(arrays, key, jnp.asarray(step), (jnp.arange(meta_batch), carried))
    return gradient, metrics, after


def mean_over_groups(
    of_group: Callable[[PyTree], tuple[PyTree, PyTree]], places: PyTree, at_once: int
) -> tuple[PyTree, PyTree]:
    """Average the first result of `of_group` over groups of `at_once` places, one group after the
    other, and join the second results along their leading axis of places."""
    groups = jax.tree.map(lambda x: x.reshape(-1, at_once, *x.shape[1:]), places)
    first, count = jax.tree.map(itemgetter(0), groups), len(jax.tree.leaves(groups)[0])
    if count == 1:
        return of_group(first)

    def add_group(total: PyTree, group: PyTree):
        more, after = of_group(group)
        return jax.tree.map(jnp.add, total, more), after

    shapes, _ = jax.eval_shape(of_group, first)
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    total, after = jax.lax.scan(add_group, zero, groups)
    mean = jax.tree.map(lambda x: x / count, total)
    return mean, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), after)


LARGE = 2000
"""Size of the largest array of a task above which the task fills the caches of a processor core."""


def are_large(tasks: TaskDistribution) -> bool:
    """Whether one such task is enough work for a processor core, as pictures are."""
    made = jax.eval_shape(tasks.sample, jax.random.key(0))
    return max(leaf.size for leaf in jax.tree.leaves(made)) > LARGE


def default_tasks_at_once(tasks: TaskDistribution, there: int) -> int:
    """Choose how many of `there` tasks run together by default: one where tasks are large and a CPU
    computes them, else all."""
    return 1 if jax.default_backend() == "cpu" and are_large(tasks) else there


def shared_out(
    tasks: TaskDistribution, meta_batch: int, tasks_at_once: int | None, devices: int | None
) -> tuple[Mesh, int]:
    """Choose the devices that share a meta-batch, and the number of tasks that each computes in
    parallel, where these are None.

    Raises `UserError` where there are too few devices, where they cannot share the tasks evenly, or
    where their tasks do not divide into groups of `tasks_at_once`."""
    mesh = task_mesh(meta_batch, devices, by_core=tasks_at_once is None and are_large(tasks))
    on_each = meta_batch // mesh.size
    at_once = min(tasks_at_once or default_tasks_at_once(tasks, on_each), on_each)
    if on_each % at_once:
        raise UserError(
            f"--tasks-at-once {at_once}: the {on_each} tasks of a meta-batch on each device do not "
            "divide into such groups"
        )
    return mesh, at_once
