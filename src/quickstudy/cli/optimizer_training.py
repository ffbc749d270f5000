"""quickstudy train NAME-optimizer: meta-train an optimiser, or go on with one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from quickstudy.cli import show
from quickstudy.cli.machines import Machines
from quickstudy.cli.options import read
from quickstudy.errors import UserError
from quickstudy.settings.network import Flat
from quickstudy.settings.optimizer import OptimizerSettings
from quickstudy.settings.optimizer_run import OptimizerRunSettings
from quickstudy.settings.problems import ProblemSettings
from quickstudy.settings.registry import optimizer_settings
from quickstudy.settings.training import TrainingSettings
from quickstudy.settings.unrolling import UnrollSettings

START = """A trained optimiser to begin with, in place of random weights: by name (lstm), or the
folder or file of your own."""


def arguments_of(settings: type[OptimizerSettings]) -> Any:
    """The options of `train` for one optimiser, as a dataclass type."""
    nested = dataclasses.field
    parts = {
        "problems": ProblemSettings,
        "unrolling": UnrollSettings,
        "training": TrainingSettings,
        "optimizer": settings,
        "machines": Machines,
    }
    return dataclasses.make_dataclass(
        "Train",
        [
            ("run", Path),
            ("start", Annotated[str | None, tyro.conf.arg(help=START)], None),
            *(
                (name, Annotated[part, Flat], nested(default_factory=part))
                for name, part in parts.items()
            ),
        ],
        frozen=True,
    )


def run(name: str, words: list[str]) -> int:
    """The command, for one optimiser."""
    settings = optimizer_settings(name)
    options = read(
        arguments_of(settings), words, f"quickstudy train {name}", description=settings.__doc__
    )
    machines: Machines = options.machines
    if machines.processes > 1:
        from quickstudy.cli.processes import supervise

        return supervise([name, *words], machines.processes, options.run)
    if options.problems.tasks.endswith(".py"):
        from quickstudy.runs.problems import own_problems

        own_problems(options.problems.tasks)
    wanted = OptimizerRunSettings(
        options.optimizer, options.problems, options.unrolling, options.training, options.start
    )
    if (options.run / "learner.qs").exists():
        raise UserError(f"{options.run} is a learner's run: choose another --run folder")

    from quickstudy.cli.main import complain
    from quickstudy.devices import is_first_process
    from quickstudy.runs.optimizing import train_optimizer
    from quickstudy.training import TrainingStopped

    machines.join()
    try:
        train_optimizer(
            wanted,
            options.run,
            devices=machines.devices,
            checkpoint_seconds=machines.checkpoint_seconds,
        )
    except TrainingStopped as stopped:
        return complain(str(stopped), status=128 + stopped.signum)
    if is_first_process():
        show.line(f"trained: {options.run}    next: quickstudy optimize {options.run}")
    return 0
