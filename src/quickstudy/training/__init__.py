"""Meta-training: written once, for any learner.

A step samples a meta-batch of tasks, takes the meta-gradient on each, and updates the
meta-parameters. `program.py` is what the device computes, `loop.py` what the host does between
calls, `seeds.py` how several seeds train together.

Randomness is a function of (seed, step, index of the task in the meta-batch). So a run that was
interrupted and resumed ends in the same bits as one that was not, and a run on many devices, which
share the tasks of each meta-batch, sees the tasks of a run on one.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import equinox as eqx
import optax

from quickstudy.compilation import enable_compilation_cache
from quickstudy.devices import from_first_process, is_first_process
from quickstudy.evaluation import Result
from quickstudy.learner import Learnable
from quickstudy.metagradients import Backpropagation, MetaGradient
from quickstudy.record import Record
from quickstudy.signals import listen_for_signals
from quickstudy.task import Task, TaskDistribution
from quickstudy.training.loop import VALIDATION_SEED as VALIDATION_SEED
from quickstudy.training.loop import Loop, Underway
from quickstudy.training.loop import TrainingStopped as TrainingStopped
from quickstudy.training.loop import Validation as Validation
from quickstudy.training.meta_batch import shared_out
from quickstudy.training.program import Program
from quickstudy.training.seeds import SeedRun as SeedRun
from quickstudy.training.seeds import default_together, groups, in_structure_of, newest_of_all

SECONDS_PER_CHECKPOINT = 30.0

AnyLearnable = TypeVar("AnyLearnable", bound=Learnable)


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
    meta_gradient: MetaGradient[Any] = Backpropagation(),
    folder: Path | None = None,
    configuration: dict[str, Any] | None = None,
    checkpoint_seconds: float = SECONDS_PER_CHECKPOINT,
    seconds: float | None = None,
    show_progress: bool = False,
) -> AnyLearnable:
    """Train ω for `steps` steps of `meta_batch` tasks each; returns the settled learner that
    was best on validation, or the last one without validation.

    The tasks of a meta-batch are shared out over `devices` (see `devices.task_mesh`), and each
    runs `tasks_at_once` together: less memory and, on a CPU, more speed when few. `meta_gradient`
    estimates ∂(meta-objective)/∂ω; a plain function is one as `PerTask(function)`. With a
    `folder`, figures go to `metrics.jsonl` there and the state to `checkpoints/`, and a run that
    finds a checkpoint there goes on from it, bit for bit as if it had never stopped.
    `configuration` is kept beside it (plain JSON values). Training ends early where the patience
    of `validation` is over, or after so many `seconds`.

    Raises `UserError` where the folder belongs to another configuration or another process trains
    in it, the devices are too few or cannot share the tasks, the memory for a step is not there,
    or the loss is no longer a number; `TrainingStopped` after SIGINT, SIGTERM or SIGHUP.

    >>> trained = meta_train(learner, tasks, optax.adam(1e-3), steps=1000)
    """
    [(_, trained, _)] = meta_train_seeds(
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
        seconds=seconds,
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
    meta_gradient: MetaGradient[Any] = Backpropagation(),
    checkpoint_seconds: float = SECONDS_PER_CHECKPOINT,
    seconds: float | None = None,
    show_progress: bool = False,
    together: bool | None = None,
) -> Iterator[tuple[SeedRun, Learnable, Result | None]]:
    """`meta_train` each of `runs`; yields each with its learner once that is trained, and what
    validation found of this learner, where it was this process that looked.

    Runs trained `together` share one compiled program with a further axis of seeds, and differ
    from each run alone by rounding error. Runs trained one after the other share the program for
    one run and have the bits of training each alone. By default runs train together on
    accelerators (`default_together`), but not where memory is short. Runs that were stopped
    together go on together, from the newest checkpoint that all have; those that stand at
    different steps do not.
    """
    enable_compilation_cache()
    mesh, at_once = shared_out(tasks, meta_batch, tasks_at_once, devices)
    static = eqx.filter(runs[0].learner, eqx.is_array, inverse=True)
    program = Program(static, tasks, optimizer, meta_gradient, meta_batch, at_once, mesh)
    if together is None:
        together = default_together()
    runs = [replace(run, learner=in_structure_of(runs[0].learner, run.learner)) for run in runs]
    records = [
        Record(run.folder if is_first_process() else None, run.configuration or {}) for run in runs
    ]
    with ExitStack() as held, listen_for_signals() as signals:
        for record in records:
            held.enter_context(record.only_writer())
        newest = newest_of_all(records) if together else None
        resumed = [
            Underway(run, record, from_first_process(record.resume(program.start(run), newest)))
            for run, record in zip(runs, records, strict=True)
        ]
        loop = Loop(
            program, resumed, steps, validation, checkpoint_seconds, signals, show_progress, seconds
        )
        for places in groups([int(run.state.step) for run in resumed], together):
            for run in loop.trained([resumed[i] for i in places]):
                yield run.of, program.settled(run.of, loop.result(run)), run.best
