"""Meta-training: the loop that is written once, for any learner.

A step samples a meta-batch of tasks, takes the meta-gradient on each, and updates the
meta-parameters. Steps run many at a time inside one compiled program, which samples its tasks on
the device; the host sees figures now and then.

Randomness is a function of (seed, step, index of the task in the meta-batch). So a run that was
interrupted and resumed ends in the same bits as one that was not, and a run on many devices, which
share the tasks of each meta-batch, sees the tasks of a run on one.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from quickstudy import memory
from quickstudy.compilation import enable_compilation_cache
from quickstudy.devices import (
    EVERYWHERE,
    from_first_process,
    is_first_process,
    largest_of_all,
    replicate,
    task_mesh,
)
from quickstudy.errors import UserError
from quickstudy.evaluation import Result, evaluate
from quickstudy.learner import Learnable
from quickstudy.meta_batch import MetaGradient, are_large, default_tasks_at_once, mean_gradient
from quickstudy.metagradients import Carrying, backpropagation
from quickstudy.progress import Reporter, progress
from quickstudy.record import Record
from quickstudy.seeds import (
    SeedRun,
    default_together,
    groups,
    in_structure_of,
    newest_of_all,
    stack,
    unstack,
)
from quickstudy.signals import Signals, listen_for_signals
from quickstudy.task import Task, TaskDistribution, task_keys
from quickstudy.tasks.mapped import Fetch, read_ahead

SECONDS_PER_CALL = 1.0
"""About how long the host waits for the device: how fresh the progress is."""

SECONDS_PER_CHECKPOINT = 30.0

STEPS_PER_CALL = 4096
"""At most: the room for figures on the device."""

VALIDATION_SEED = 1_000_003
SETTLING_SEED = 1_000_033
STARTING = 2**31 - 2
"""What is folded into a seed's key for what its meta-gradient carries from the start."""


AnyLearnable = TypeVar("AnyLearnable", bound=Learnable)


@dataclass(frozen=True)
class Validation:
    """How the best of a run is chosen: on tasks from validation classes, every so many steps."""

    tasks: TaskDistribution
    every: int
    episodes: int = 200
    measure: Callable[..., Result] = evaluate
    """Called as `evaluate` is, without progress."""


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
    carried: PyTree = ()
    """What the meta-gradient keeps for each place of the meta-batch."""


class TrainingStopped(Exception):
    """A signal ended the run after a whole step; its checkpoint is written."""

    def __init__(self, step: int, signum: int):
        super().__init__(f"stopped at step {step}; the same command goes on from there")
        self.signum = signum


def meta_train(
    learner: AnyLearnable,
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
) -> AnyLearnable:
    """Train ω for `steps` steps of `meta_batch` tasks each; returns the settled learner that
    was best on validation, or the last one without validation.

    The tasks of a meta-batch are shared out over `devices` (see `devices.task_mesh`), and each
    runs `tasks_at_once` together: less memory and, on a CPU, more speed when few. With a
    `folder`, figures go to `metrics.jsonl` there and the state to `checkpoints/`, and a run that
    finds a checkpoint there goes on from it, bit for bit as if it had never stopped.
    `configuration` is kept beside it (plain JSON values).

    Raises `UserError` where the folder belongs to another configuration or another process trains
    in it, the devices are too few or cannot share the tasks, the memory for a step is not there,
    or the loss is no longer a number; `TrainingStopped` after SIGINT, SIGTERM or SIGHUP.

    >>> trained = meta_train(learner, tasks, optax.adam(1e-3), steps=1000)
    """
    [(_, trained)] = meta_train_seeds(
        [SeedRun(seed, learner, folder, configuration)],
        tasks,
        optimizer,
        steps=steps,
        meta_batch=meta_batch,
        tasks_at_once=tasks_at_once,
        devices=devices,
        validation=validation,
        meta_gradient=meta_gradient,
        checkpoint_seconds=checkpoint_seconds,
        show_progress=show_progress,
    )
    return cast(AnyLearnable, trained)


def meta_train_seeds(
    runs: Sequence[SeedRun],
    tasks: TaskDistribution[Task],
    optimizer: optax.GradientTransformation,
    *,
    steps: int,
    meta_batch: int = 1,
    tasks_at_once: int | None = None,
    devices: int | None = None,
    validation: Validation | None = None,
    meta_gradient: MetaGradient = backpropagation,
    checkpoint_seconds: float = SECONDS_PER_CHECKPOINT,
    show_progress: bool = False,
    together: bool | None = None,
) -> Iterator[tuple[SeedRun, Learnable]]:
    """`meta_train` each of `runs`; yields each with its learner once that is trained.

    Runs `together` share one compiled program, in which the seeds are a further axis, and differ
    from each run alone by rounding; one after the other they have its bits. By default together
    on accelerators (`default_together`), but not where memory is short. Runs that were stopped
    together go on together, from the newest checkpoint that all have; those that stand at
    different steps do not.
    """
    enable_compilation_cache()
    mesh = task_mesh(meta_batch, devices, by_core=tasks_at_once is None and are_large(tasks))
    on_each = meta_batch // mesh.size
    at_once = min(tasks_at_once or default_tasks_at_once(tasks, on_each), on_each)
    if on_each % at_once:
        raise UserError(
            f"--tasks-at-once {at_once}: the {on_each} tasks of a meta-batch on each device do not "
            "divide into such groups"
        )
    if together is None:
        together = default_together()
    learners = [in_structure_of(runs[0].learner, run.learner) for run in runs]
    task_arrays, task_rest = eqx.partition(tasks, eqx.is_array)
    rest = eqx.filter(learners[0], eqx.is_array, inverse=True)

    def step(trained: PyTree, state: PyTree, fixed: PyTree, key, task_arrays: PyTree, number):
        key = jax.random.fold_in(jax.random.wrap_key_data(key), number)
        learner = eqx.combine(trained, fixed, rest).at_step(number)
        tasks = eqx.combine(task_arrays, task_rest)
        state, carried = state
        direction, metrics, carried = mean_gradient(
            learner, tasks, key, meta_gradient, meta_batch, at_once, mesh, carried, number
        )
        updates, state = optimizer.update(direction, state, trained)
        return optax.apply_updates(trained, updates), (state, carried), metrics

    @partial(jax.jit, out_shardings=NamedSharding(mesh, EVERYWHERE))  # as what it is given
    def advance(trained, state, fixed, key, task_arrays, start, stop):
        """Steps start … stop - 1, and their metrics in the first places of the arrays: of one
        run, or of several where the first four have a leading axis."""
        a_step = step if key.ndim == 1 else jax.vmap(step, in_axes=(0, 0, 0, 0, None, None))
        given = (fixed, key, task_arrays)
        shapes = jax.eval_shape(lambda: a_step(trained, state, *given, start)[2])
        room = jax.tree.map(lambda s: jnp.zeros((STEPS_PER_CALL, *s.shape), s.dtype), shapes)

        def body(number, carry):
            trained, state, seen = carry
            trained, state, metrics = a_step(trained, state, *given, number)
            seen = jax.tree.map(lambda s, m: s.at[number - start].set(m), seen, metrics)
            return trained, state, seen

        return jax.lax.fori_loop(start, stop, body, (trained, state, room))

    @eqx.filter_jit
    def settle(learner: Learnable, tasks: TaskDistribution) -> Learnable:
        return learner.settle(tasks, key=jax.random.key(SETTLING_SEED))

    def settled(trained: PyTree, learner: Learnable) -> Learnable:
        fixed = eqx.filter(learner, eqx.is_inexact_array, inverse=True)
        return settle(eqx.combine(jax.device_get(trained), fixed), tasks)

    log_every = max(1, min(steps // 500, 100))
    records = [
        Record(run.folder if is_first_process() else None, run.configuration or {}) for run in runs
    ]
    task_arrays = replicate(task_arrays, mesh)
    programs: dict[int, jax.stages.Compiled] = {}

    def key_of_task(group: list[int]) -> Callable[[Int[Array, ""]], PRNGKeyArray]:
        """Of all tasks that these runs see, in their order."""
        seeds = jnp.asarray([runs[i].seed for i in group])

        def key_of(number: Int[Array, ""]) -> PRNGKeyArray:
            number, index = number // meta_batch, number % meta_batch
            key = jax.random.key(seeds[number % len(group)])
            return task_keys(jax.random.fold_in(key, number // len(group)), index)[0]

        return key_of

    def train(group: list[int], signals: Signals, reporter: Reporter, fetch: Fetch) -> bool:
        """Bring the runs with these places in `runs`, which stand at one step, to the last one;
        False where there is no memory for them together."""
        count, done, per_call = len(group), int(states[group[0]].step), log_every
        trained, state, fixed, key = replicate(
            stack(
                [
                    (
                        states[i].trained,
                        (states[i].optimizer, states[i].carried),
                        eqx.filter(
                            eqx.partition(learners[i], eqx.is_inexact_array)[1], eqx.is_array
                        ),
                        jax.random.key_data(jax.random.key(runs[i].seed)),
                    )
                    for i in group
                ]
            ),
            mesh,
        )
        last_checkpoint = time.monotonic()
        while done < steps:
            if count not in programs:
                started = time.monotonic()
                lowered = advance.lower(
                    trained, state, fixed, key, task_arrays, np.int32(0), np.int32(0)
                )
                programs[count] = lowered.compile()
                try:
                    memory.require(programs[count], len(mesh.local_devices))
                except UserError:
                    if count == 1:
                        raise
                    return False
                for i in group:
                    records[i].log_compiling(done, (time.monotonic() - started) / count)
            boundary = steps
            if validation is not None:
                boundary = min(steps, (done // validation.every + 1) * validation.every)
            stop = min(boundary, done - done % log_every + per_call)
            fetch(done * meta_batch * count, min(steps, 2 * stop - done) * meta_batch * count)
            started = time.monotonic()
            trained, state, seen = programs[count](
                trained, state, fixed, key, task_arrays, np.int32(done), np.int32(stop)
            )
            metrics = {
                k: np.asarray(v)[: stop - done].reshape(-1, count)
                for k, v in jax.device_get(seen).items()
            }
            now = time.monotonic()
            seconds, since_checkpoint, signum = largest_of_all(
                now - started, now - last_checkpoint, max(signals.received, default=0)
            )
            fitting = int(SECONDS_PER_CALL * (stop - done) / seconds) // log_every * log_every
            per_call = max(log_every, min(fitting, STEPS_PER_CALL // log_every * log_every))
            finite = np.isfinite(metrics["loss"])
            if not finite.all():
                at, place = np.argwhere(~finite)[0]
                whose = f" of seed {runs[group[place]].seed}" if len(runs) > 1 else ""
                raise UserError(
                    f"the loss{whose} is not a number at step {done + at + 1}: "
                    "try a smaller learning rate (--learning-rate)"
                )
            looks = validation is not None and (stop % validation.every == 0 or stop == steps)
            saves = since_checkpoint >= checkpoint_seconds or signum or stop == steps
            for place, (i, own) in enumerate(
                zip(group, unstack((trained, *state), count), strict=True)
            ):
                of_run = {k: v[:, place] for k, v in metrics.items()}
                records[i].log(done, of_run, log_every, float(seconds) / count)
                states[i] = states[i]._replace(
                    step=np.asarray(stop), trained=own[0], optimizer=own[1], carried=own[2]
                )
                if looks:
                    validate(i)
            if saves:
                for i in group:
                    records[i].save(states[i])
                last_checkpoint = time.monotonic()
            done = stop
            if signum and done < steps:
                raise TrainingStopped(done, int(signum))
            note = "  ".join(f"{k} {float(np.mean(v)):.3f}" for k, v in metrics.items())
            reporter.at(done, note)
        return True

    def validate(i: int) -> None:
        """Keep the state of a run as its best, if it is."""
        assert validation is not None
        state = states[i]
        result = validation.measure(
            settled(state.trained, learners[i]),
            validation.tasks,
            episodes=validation.episodes,
            seed=VALIDATION_SEED,
        )
        score = result.estimate().mean
        sign = 1 if result.higher_is_better else -1
        if np.isnan(state.best_score) or sign * score > sign * float(state.best_score):
            states[i] = state._replace(
                best=state.trained, best_score=np.asarray(score), best_step=state.step
            )
        records[i].log_validation(int(state.step), result.headline, score)

    with ExitStack() as held, listen_for_signals() as signals:
        for record in records:
            held.enter_context(record.only_writer())
        newest = newest_of_all(records) if together else None
        states = [
            from_first_process(
                record.resume(
                    start_of(learner, optimizer, meta_gradient, tasks, meta_batch, run.seed), newest
                )
            )
            for run, record, learner in zip(runs, records, learners, strict=True)
        ]
        waiting = groups([int(state.step) for state in states], together)
        while waiting:
            group = waiting.pop(0)
            title = "training"
            if len(runs) > 1:  # which of them
                title += f" seed {', '.join(str(runs[i].seed) for i in group)}"
            show, done = show_progress and is_first_process(), int(states[group[0]].step)
            with (
                progress(title, steps, done=done, show=show) as reporter,
                read_ahead(tasks, key_of_task(group)) as fetch,
            ):
                trained = train(group, signals, reporter, fetch)
            if not trained:
                waiting = [[i] for i in group] + waiting
                continue
            for i in group:
                chosen = states[i].best if validation is not None else states[i].trained
                yield runs[i], settled(chosen, learners[i])


def start_of(
    learner: Learnable,
    optimizer: optax.GradientTransformation,
    meta_gradient: MetaGradient,
    tasks: TaskDistribution,
    meta_batch: int,
    seed: int,
) -> State:
    """Before the first step."""
    carried: PyTree = ()
    if isinstance(meta_gradient, Carrying):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), STARTING), meta_batch)
        start = partial(meta_gradient.start, learner, tasks)
        carried = jax.jit(jax.vmap(start))(keys)
    trained = eqx.filter(learner, eqx.is_inexact_array)
    trained = jax.tree.map(lambda x: jnp.asarray(x, x.dtype), trained)  # or it compiles twice
    return State(
        step=np.asarray(0),
        trained=trained,
        optimizer=optimizer.init(trained),
        best=trained,
        best_score=np.asarray(np.nan),
        best_step=np.asarray(0),
        carried=carried,
    )
