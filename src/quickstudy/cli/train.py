"""quickstudy train LEARNER: meta-train, or go on with a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from quickstudy.cli import show
from quickstudy.errors import UserError
from quickstudy.recipes.registry import LEARNERS, learner_settings
from quickstudy.recipes.settings import (
    Flat,
    LearnerSettings,
    RunSettings,
    TaskSettings,
    TrainingSettings,
)


def usage() -> str:
    """What `quickstudy train --help` prints."""
    learners = "\n".join(
        f"  {n:<10}{(s.__doc__ or '').splitlines()[0]}" for n, s in LEARNERS.items()
    )
    return (
        "usage: quickstudy train LEARNER --run FOLDER [OPTIONS]\n\n"
        f"{learners}\n"
        "  FILE.py   your own, see CONTRIBUTING.md\n\n"
        "The same command goes on with a run that was stopped.\n"
        "quickstudy train LEARNER --help for the options of one."
    )


def arguments_of(settings: type[LearnerSettings]) -> Any:
    """The options of `train` for one learner, as a dataclass type."""
    nested = dataclasses.field
    return dataclasses.make_dataclass(
        "Train",
        [
            ("run", Path),
            ("tasks", Annotated[TaskSettings, Flat], nested(default_factory=TaskSettings)),
            (
                "training",
                Annotated[TrainingSettings, Flat],
                nested(default_factory=TrainingSettings),
            ),
            ("learner", Annotated[settings, Flat], nested(default_factory=settings)),
        ],
        frozen=True,
    )


def run(words: list[str]) -> int:
    """The command."""
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    name, *rest = words
    if name.startswith("-"):
        raise UserError("which learner? quickstudy train LEARNER --run FOLDER …")
    settings = learner_settings(name)
    options = tyro.cli(
        arguments_of(settings),
        args=rest,
        prog=f"quickstudy train {name}",
        description=settings.__doc__,
    )
    source = str(Path(name).resolve()) if name.endswith(".py") else None
    wanted = RunSettings(options.learner, options.tasks, options.training, source)

    from quickstudy.cli.main import complain
    from quickstudy.recipes.wiring import train
    from quickstudy.training import TrainingStopped

    try:
        train(wanted, options.run)
    except TrainingStopped as stopped:
        return complain(str(stopped), status=128 + stopped.signum)
    show.line(f"trained: {options.run}    next: quickstudy evaluate {options.run}")
    return 0
