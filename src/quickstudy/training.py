"""Meta-training: the loop that is written once, for any learner.

A step samples a meta-batch of tasks, takes the meta-gradient on each, and updates the
meta-parameters. Steps run many at a time inside one compiled program, which samples its tasks on
the device; the host sees figures now and then.

Randomness is a function of (seed, step, index of the task in the meta-batch). So a run that was
interrupted and resumed ends in the same bits as one that was not, and a run on many devices, which
share the tasks of each meta-batch, sees the tasks of a run on one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from quickstudy import memory
from quickstudy.compilation import enable_compilation_cache
from quickstudy.devices import (
    AXIS,
    BY_TASK,
    EVERYWHERE,
    from_first_process,
    is_first_process,
    largest_of_all,
    replicate,
    task_mesh,
)
from quickstudy.errors import UserError
from quickstudy.evaluation import evaluate
from quickstudy.learner import Learner, Metrics
from quickstudy.metagradients import backpropagation
from quickstudy.progress import progress
from quickstudy.record import Record
from quickstudy.signals import listen_for_signals
from quickstudy.task import Task, TaskDistribution, task_keys
from quickstudy.tasks.mapped import read_ahead

SECONDS_PER_CALL = 1.0
"""About how long the host waits for the device: how fresh the progress is."""

SECONDS_PER_CHECKPOINT = 30.0

STEPS_PER_CALL = 4096
"""At most: the room for figures on the device."""

VALIDATION_SEED = 1_000_003
SETTLING_SEED = 1_000_033

MetaGradient = Callable[[Learner, Any, PRNGKeyArray], tuple[Learner, Metrics]]
"""(learner, task, key) -> (gradient with the learner's structure, metrics with `loss`)."""


@dataclass(frozen=True)
class Validation:
    """How the best of a run is chosen: on tasks from validation classes, every so many steps."""

    tasks: TaskDistribution
    every: int
    episodes: int = 200


class State(NamedTuple):
    """All that a run carries from step to step."""

    step: np.ndarray
    trained: PyTree
    """The meta-parameters ω: the learner's floating-point leaves."""
    optimizer: PyTree
    best: PyTree
    """ω where validation was best."""
    best_score: np.ndarray
    best_step: np.ndarray


class TrainingStopped(Exception):
    """A signal ended the run after a whole step; its checkpoint is written."""

    def __init__(self, step: int, signum: int):
        super().__init__(f"stopped at step {step}; the same command goes on from there")
        self.signum = signum


def meta_train(
    learner: Learner,
    tasks: TaskDistribution[Task],
    optimizer: optax.GradientTransformation,
    *,
    steps: int,
    meta_batch: int = 1,
    tasks_at_once: int | None = None,
    devices: int | None = None,
    seed: int = 0,
    validation: Validation | None = None,
    meta_gradient: MetaGradient = backpropagation,
    folder: Path | None = None,
    configuration: dict[str, Any] | None = None,
    checkpoint_seconds: float = SECONDS_PER_CHECKPOINT,
    show_progress: bool = False,
) -> Learner:
    """Train ω for `steps` steps of `meta_batch` tasks each; returns the settled learner that
    was best on validation, or the last one without validation.

    The tasks of a meta-batch are shared out over `devices` (see `devices.task_mesh`), and each
    runs `tasks_at_once` together: less memory and, on a CPU, more speed when few. With a
    `folder`, figures go to `metrics.jsonl` there and the state to `checkpoints/`, and a run that
    finds a checkpoint there goes on from it, bit for bit as if it had never stopped.
    `configuration` is kept beside it (plain JSON values).

    Raises `UserError` where the folder belongs to another configuration, the devices are too few
    or cannot share the tasks, the memory for a step is not there, or the loss is no longer a
    number; `TrainingStopped` after SIGINT or SIGTERM.

    >>> trained = meta_train(learner, tasks, optax.adam(1e-3), steps=1000)
    """
    enable_compilation_cache()
    mesh = task_mesh(meta_batch, devices)
    on_each = meta_batch // mesh.size
    at_once = tasks_at_once or default_tasks_at_once(tasks, on_each)
    if on_each % at_once:
        raise ValueError(f"a meta-batch of {on_each} does not divide into groups of {at_once}")
    trained, fixed = eqx.partition(learner, eqx.is_inexact_array)
    trained = jax.tree.map(lambda x: jnp.asarray(x, x.dtype), trained)  # or it compiles twice
    task_arrays, task_rest = eqx.partition(tasks, eqx.is_array)

    def of_device(trained: PyTree, task_arrays: PyTree, number, key: PRNGKeyArray, indices):
        learner, tasks = eqx.combine(trained, fixed), eqx.combine(task_arrays, task_rest)
        learner = learner.at_step(number)
        found = mean_gradient(learner, tasks, key, meta_gradient, indices, at_once)
        return jax.lax.pmean(found, AXIS)

    of_meta_batch = jax.shard_map(
        of_device,
        mesh=mesh,
        in_specs=(*4 * (EVERYWHERE,), BY_TASK),
        out_specs=EVERYWHERE,
        check_vma=False,
    )

    def step_key(number: Int[Array, ""]) -> PRNGKeyArray:
        return jax.random.fold_in(jax.random.key(seed), number)

    def key_of_task(number: Int[Array, ""]) -> PRNGKeyArray:
        """Of all tasks of the training, in their order."""
        return task_keys(step_key(number // meta_batch), number % meta_batch)[0]

    def step(trained: PyTree, state: PyTree, task_arrays: PyTree, number: Int[Array, ""]):
        indices = jnp.arange(meta_batch)
        direction, metrics = of_meta_batch(trained, task_arrays, number, step_key(number), indices)
        updates, state = optimizer.update(direction, state, trained)
        return optax.apply_updates(trained, updates), state, metrics

    @jax.jit
    def advance(trained, state, task_arrays, start, stop):
        """Steps start … stop - 1, and their metrics in the first places of the arrays."""
        shapes = jax.eval_shape(lambda: step(trained, state, task_arrays, start)[2])
        room = jax.tree.map(lambda s: jnp.zeros((STEPS_PER_CALL, *s.shape), s.dtype), shapes)

        def body(number, carry):
            trained, state, seen = carry
            trained, state, metrics = step(trained, state, task_arrays, number)
            seen = jax.tree.map(lambda s, m: s.at[number - start].set(m), seen, metrics)
            return trained, state, seen

        return jax.lax.fori_loop(start, stop, body, (trained, state, room))

    @eqx.filter_jit
    def settle(learner: Learner, tasks: TaskDistribution) -> Learner:
        return learner.settle(tasks, key=jax.random.key(SETTLING_SEED))

    def settled(trained: PyTree) -> Learner:
        return settle(eqx.combine(jax.device_get(trained), fixed), tasks)

    state = State(
        step=np.asarray(0),
        trained=trained,
        optimizer=optimizer.init(trained),
        best=trained,
        best_score=np.asarray(np.nan),
        best_step=np.asarray(0),
    )
    log_every = max(1, min(steps // 500, 100))
    record = Record(folder if is_first_process() else None, configuration or {})
    state = from_first_process(record.resume(state))
    trained, optimizer_state, task_arrays = replicate(
        (state.trained, state.optimizer, task_arrays), mesh
    )
    state = state._replace(trained=trained, optimizer=optimizer_state)
    done = int(state.step)
    per_call = log_every

    with (
        listen_for_signals() as signals,
        read_ahead(tasks, key_of_task) as fetch,
        progress(
            "training", steps, done=done, show=show_progress and is_first_process()
        ) as reporter,
    ):
        last_checkpoint = time.monotonic()
        program = None
        while done < steps:
            if program is None:
                started = time.monotonic()
                lowered = advance.lower(
                    trained, optimizer_state, task_arrays, np.int32(0), np.int32(0)
                )
                program = lowered.compile()
                memory.require(program, len(mesh.local_devices))
                record.log_compiling(done, time.monotonic() - started)
            boundary = steps
            if validation is not None:
                boundary = min(steps, (done // validation.every + 1) * validation.every)
            stop = min(boundary, done - done % log_every + per_call)
            fetch(done * meta_batch, min(steps, 2 * stop - done) * meta_batch)
            started = time.monotonic()
            trained, optimizer_state, seen = program(
                state.trained, state.optimizer, task_arrays, np.int32(done), np.int32(stop)
            )
            metrics = {k: np.asarray(v)[: stop - done] for k, v in jax.device_get(seen).items()}
            now = time.monotonic()
            seconds, since_checkpoint, signum = largest_of_all(
                now - started, now - last_checkpoint, max(signals.received, default=0)
            )
            fitting = int(SECONDS_PER_CALL * (stop - done) / seconds) // log_every * log_every
            per_call = max(log_every, min(fitting, STEPS_PER_CALL // log_every * log_every))
            state = state._replace(
                step=np.asarray(stop), trained=trained, optimizer=optimizer_state
            )
            finite = np.isfinite(metrics["loss"])
            if not finite.all():
                raise UserError(
                    f"the loss is not a number at step {done + int(np.argmin(finite)) + 1}: "
                    "try a smaller learning rate (--learning-rate)"
                )
            record.log(done, metrics, log_every, float(seconds))
            done = stop
            if validation is not None and (done % validation.every == 0 or done == steps):
                result = evaluate(
                    settled(trained),
                    validation.tasks,
                    episodes=validation.episodes,
                    seed=VALIDATION_SEED,
                )
                score = result.estimate().mean
                sign = 1 if result.higher_is_better else -1
                if np.isnan(state.best_score) or sign * score > sign * float(state.best_score):
                    state = state._replace(
                        best=trained, best_score=np.asarray(score), best_step=np.asarray(done)
                    )
                record.log_validation(done, result.headline, score)
            if since_checkpoint >= checkpoint_seconds or signum or done == steps:
                record.save(state)
                last_checkpoint = time.monotonic()
            if signum and done < steps:
                raise TrainingStopped(done, int(signum))
            note = "  ".join(f"{k} {float(np.mean(v)):.3f}" for k, v in metrics.items())
            reporter.at(done, note)
    return settled(state.best if validation is not None else state.trained)


def mean_gradient(
    learner: Learner,
    tasks: TaskDistribution[Task],
    key: PRNGKeyArray,
    meta_gradient: MetaGradient,
    indices: Int[Array, " tasks"],
    at_once: int,
) -> tuple[PyTree, Metrics]:
    """The mean of the meta-gradients, and of the metrics, over tasks of the meta-batch that `key`
    stands for, named by their `indices`: `at_once` side by side, one such group after the other.
    """

    def of_task(index: Int[Array, ""]):
        for_task, for_learner = task_keys(key, index)
        gradient, metrics = meta_gradient(learner, tasks.sample(for_task), for_learner)
        return eqx.filter(gradient, eqx.is_inexact_array), metrics

    def of_group(indices: Int[Array, " at_once"]):
        if at_once == 1:
            return of_task(indices[0])
        return jax.tree.map(lambda x: jnp.mean(x, 0), jax.vmap(of_task)(indices))

    def add_group(total, indices):
        return jax.tree.map(jnp.add, total, of_group(indices)), None

    groups = indices.reshape(-1, at_once)
    if len(groups) == 1:
        return of_group(groups[0])
    shapes = jax.eval_shape(of_group, groups[0])
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    total, _ = jax.lax.scan(add_group, zero, groups)
    return jax.tree.map(lambda x: x / len(groups), total)


def default_tasks_at_once(tasks: TaskDistribution, there: int) -> int:
    """One at a time for images on a CPU, whose caches a single task fills; else all of them."""
    inputs = jax.eval_shape(tasks.sample, jax.random.key(0))
    largest = max(leaf.size for leaf in jax.tree.leaves(inputs))
    return 1 if jax.default_backend() == "cpu" and largest > 2000 else there
