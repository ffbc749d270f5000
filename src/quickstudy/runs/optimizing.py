"""Learned optimisers from settings: trained, saved, loaded."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import optax

from quickstudy import checkpoint, memory
from quickstudy.devices import is_first_process
from quickstudy.errors import UserError, nearest
from quickstudy.optimization import Trials
from quickstudy.optimizers import LearnedOptimizer
from quickstudy.record import Record
from quickstudy.runs.evidence import provenance, run_folder
from quickstudy.runs.folders import run_file
from quickstudy.runs.problems import problems_of
from quickstudy.runs.wiring import outer_optimizer
from quickstudy.settings.optimizer import OptimizerSettings
from quickstudy.settings.optimizer_run import OptimizerRunSettings
from quickstudy.training import SECONDS_PER_CHECKPOINT, Validation, meta_train

OPTIMIZER_FILE = "optimizer.qs"
TRAINED = resources.files("quickstudy.optimizers") / "trained"
"""The optimisers that the package brings along."""


def build(settings: OptimizerSettings, seed: int) -> LearnedOptimizer:
    """The untrained optimiser."""
    return settings.build(jax.random.fold_in(jax.random.key(seed), 2**31 - 1))


def start_of(settings: OptimizerRunSettings, run: Path, **options: Any) -> LearnedOptimizer:
    """What a training begins with; one that comes before it is done in a folder beside `run`.

    Raises `UserError` where the optimiser to begin with is of another kind.
    """
    start = settings.start
    if start is None:
        return build(settings.optimizer, settings.training.seed)
    if isinstance(start, OptimizerRunSettings):
        return train_optimizer(start, run_folder(run.parent, start), **options)
    before, optimizer = find_trained(start)
    if before.optimizer != settings.optimizer:
        raise UserError(f"--start {start} is {before.optimizer}, not {settings.optimizer}")
    return optimizer


@memory.named("--dimensions, --hidden, --kernels and --batch")
def train_optimizer(
    settings: OptimizerRunSettings,
    run: Path,
    *,
    devices: int | None = None,
    checkpoint_seconds: float = SECONDS_PER_CHECKPOINT,
    show_progress: bool = True,
) -> LearnedOptimizer:
    """Train in the folder `run`, or go on there, and leave the optimiser in `optimizer.qs`. The
    best is chosen by the loss at the horizon's end, on problems that training does not meet.

    Raises `UserError` for what the user can put right, `TrainingStopped` after a signal.
    """
    settings = settings.resolved()
    evidence, training = provenance(), settings.training
    problems = problems_of(settings.problems)
    assert training.steps is not None
    assert training.meta_batch is not None
    assert training.validate_every is not None
    trained = meta_train(
        start_of(settings, run, devices=devices, show_progress=show_progress),
        problems,
        outer_optimizer(training),
        steps=training.steps,
        meta_batch=training.meta_batch,
        tasks_at_once=training.tasks_at_once,
        devices=devices,
        seed=training.seed,
        validation=Validation(
            Trials(problems, settings.unrolling.horizon),
            training.validate_every,
            training.validation_episodes,
        ),
        meta_gradient=settings.unrolling.meta_gradient(training.steps),
        folder=run,
        configuration=settings.to_json(),
        checkpoint_seconds=checkpoint_seconds,
        show_progress=show_progress,
    )
    if is_first_process():
        header = {
            "configuration": settings.to_json(),
            "provenance": evidence,
            "seconds": Record(run, settings.to_json()).seconds(),
        }
        checkpoint.save(run / OPTIMIZER_FILE, trained, header)
    return trained


def load_trained(path: Path) -> tuple[OptimizerRunSettings, LearnedOptimizer]:
    """A trained optimiser from its run's folder, or from its file.

    Raises `UserError` where there is none, or the file is damaged.
    """
    file = run_file(path, OPTIMIZER_FILE) if path.is_dir() else path
    settings = OptimizerRunSettings.from_json(checkpoint.read_header(file).get("configuration", {}))
    skeleton = eqx.filter_eval_shape(lambda: build(settings.optimizer, 0))
    optimizer, _ = checkpoint.load(file, skeleton)
    return settings, optimizer


def shipped() -> list[str]:
    """The names of the optimisers that come with the package."""
    return sorted(Path(str(file)).stem for file in TRAINED.iterdir() if file.name.endswith(".qs"))


def find_trained(name: str | Path) -> tuple[OptimizerRunSettings, LearnedOptimizer]:
    """`load_trained`, also by the name of one that comes with the package."""
    if (path := Path(name)).exists():
        return load_trained(path)
    if str(name) not in shipped():
        known = nearest(str(name), shipped())
        raise UserError(f"there is no trained optimiser {str(name)!r}: {known}, or a run's folder")
    with resources.as_file(TRAINED / f"{name}.qs") as file:
        return load_trained(file)


def load_optimizer(name: str | Path) -> optax.GradientTransformation:
    """A trained optimiser as an Optax transformation: by the name of one that comes with the
    package (`lstm`), or by the folder or file of your own.

    The file holds numbers and JSON, checked by a checksum; nothing in it is executed. Raises
    `UserError` where there is none of this name, or the file is damaged.

    >>> import quickstudy
    >>> optimizer = quickstudy.load_optimizer("lstm")
    >>> state = optimizer.init(parameters)
    >>> updates, state = optimizer.update(gradients, state, parameters)
    """
    return find_trained(name)[1].as_optax()
