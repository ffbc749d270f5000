"""One meta-step's gradient: the mean over the tasks of a meta-batch, which devices share."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from quickstudy.devices import AXIS, BY_TASK, EVERYWHERE
from quickstudy.learner import Learnable, Metrics
from quickstudy.metagradients import Carrying, backpropagation, of_several
from quickstudy.task import Task, TaskDistribution, task_keys

MetaGradient = Callable[[Any, Any, PRNGKeyArray], tuple[Any, Metrics]] | Carrying
"""(learner, task, key) -> (gradient with the learner's structure, metrics with `loss`); or one that
keeps a state."""


def mean_gradient(
    learner: Learnable,
    tasks: TaskDistribution[Task],
    key: PRNGKeyArray,
    meta_gradient: MetaGradient,
    meta_batch: int,
    at_once: int,
    mesh: Mesh,
    carried: PyTree = (),
    step: int | Int[Array, ""] = 0,
) -> tuple[PyTree, Metrics, PyTree]:
    """The mean of the meta-gradients, and of the metrics, over the meta-batch that `key` stands
    for; and what a `Carrying` meta-gradient keeps, with a leading axis of tasks, from this step's
    `carried` on. The devices of the mesh share the tasks; each takes `at_once` side by side, one
    such group after the other.
    """
    arrays, rest = eqx.partition((learner, tasks), eqx.is_array)
    step = jnp.asarray(step)

    def of_device(arrays: PyTree, key: PRNGKeyArray, step: Int[Array, ""], places: PyTree):
        learner, tasks = eqx.combine(arrays, rest)

        def draw(index: Int[Array, ""]) -> tuple[Any, PRNGKeyArray]:
            for_task, for_learner = task_keys(key, index)
            return tasks.sample(for_task), for_learner

        def of_group(group: PyTree):
            numbers, carried = group
            if isinstance(meta_gradient, Carrying):
                keys = jax.vmap(lambda number: task_keys(key, number))(numbers)
                if at_once == 1:
                    place, of_place = jax.tree.map(lambda x: x[0], (carried, keys))
                    found = meta_gradient(learner, tasks, place, of_place, step)
                    gradient, metrics, place = found
                    carried = jax.tree.map(lambda x: x[None], place)
                else:
                    found = meta_gradient.of_several(learner, tasks, carried, keys, step)
                    gradient, metrics, carried = found
            elif at_once == 1:
                gradient, metrics = meta_gradient(learner, *draw(numbers[0]))
            elif meta_gradient is backpropagation:
                gradient, metrics = of_several(learner, draw, numbers)
            else:
                of_one = meta_gradient
                each = jax.vmap(lambda number: of_one(learner, *draw(number)))(numbers)
                gradient, metrics = jax.tree.map(lambda x: jnp.mean(x, 0), each)
            return (eqx.filter(gradient, eqx.is_inexact_array), metrics), carried

        def add_group(total, group):
            more, carried = of_group(group)
            return jax.tree.map(jnp.add, total, more), carried

        groups = jax.tree.map(lambda x: x.reshape(-1, at_once, *x.shape[1:]), places)
        first, count = jax.tree.map(lambda x: x[0], groups), len(groups[0])
        if count == 1:
            mean, carried = of_group(first)
        else:
            shapes, _ = jax.eval_shape(of_group, first)
            zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
            total, carried = jax.lax.scan(add_group, zero, groups)
            mean = jax.tree.map(lambda x: x / count, total)
            carried = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), carried)
        together = jax.tree.map(lambda x: jax.lax.all_gather(x, AXIS, tiled=True), carried)
        return jax.lax.pmean(mean, AXIS), together

    (gradient, metrics), carried = jax.shard_map(
        of_device,
        mesh=mesh,
        in_specs=(EVERYWHERE, EVERYWHERE, EVERYWHERE, BY_TASK),
        out_specs=EVERYWHERE,
        check_vma=False,
    )(arrays, key, step, (jnp.arange(meta_batch), carried))
    return gradient, metrics, carried


LARGE = 2000
"""Numbers in the largest array of a task from which on it fills a processor core's caches."""


def are_large(tasks: TaskDistribution) -> bool:
    """Whether one such task is work enough for a processor core: pictures are."""
    made = jax.eval_shape(tasks.sample, jax.random.key(0))
    return max(leaf.size for leaf in jax.tree.leaves(made)) > LARGE


def default_tasks_at_once(tasks: TaskDistribution, there: int) -> int:
    """One at a time where they are large and a CPU computes them; else all of them."""
    return 1 if jax.default_backend() == "cpu" and are_large(tasks) else there
