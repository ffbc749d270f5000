"""quickstudy train LEARNER: meta-train, or go on with a run."""

from __future__ import annotations

import dataclasses
import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from quickstudy.cli import show
from quickstudy.cli.machines import Machines
from quickstudy.cli.options import read
from quickstudy.data.registry import run_file_of_tasks
from quickstudy.errors import UserError
from quickstudy.numbers import at_least
from quickstudy.runs.folders import seed_folder
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.network import Flat
from quickstudy.settings.optimizer import OptimizerSettings
from quickstudy.settings.optimizer_run import OptimizerRunSettings
from quickstudy.settings.problems import ProblemSettings
from quickstudy.settings.registry import LEARNERS, OPTIMIZERS, learner_settings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.settings.unrolling import UnrollSettings

SEEDS = """How many runs to train that differ in the seed alone, from --seed on, together on an
accelerator: in seed-0, seed-1 … in the folder --run, each a run like any other. By default one, in
the folder itself."""

START = """A trained optimiser to begin with, in place of random weights: by name (lstm), or the
folder or file of your own."""


def usage() -> str:
    """What `quickstudy train --help` prints."""
    known = {**LEARNERS, **OPTIMIZERS}
    width = max(map(len, known))
    names = "\n".join(f"  {n:<{width}}  {show.first_sentence(s)}" for n, s in known.items())
    return (
        "usage: quickstudy train LEARNER --run FOLDER [OPTIONS]\n\n"
        f"{names}\n"
        f"  {'FILE.py':<{width}}  your own, see CONTRIBUTING.md\n\n"
        "The same command goes on with a run that was stopped.\n"
        "With --seeds 5, five runs that differ in the seed alone: FOLDER/seed-0 … seed-4.\n"
        "quickstudy train LEARNER --help for the options of one."
    )


def arguments_of(settings: type[LearnerSettings | OptimizerSettings]) -> Any:
    """The options of `train` for one learner or optimiser, as a dataclass type."""
    parts: dict[str, type] = {"tasks": TaskSettings}
    own: list[tuple[str, Any, Any]] = [
        ("seeds", Annotated[int | None, tyro.conf.arg(help=SEEDS)], None)
    ]
    if issubclass(settings, OptimizerSettings):
        parts = {"problems": ProblemSettings, "unrolling": UnrollSettings}
        own.append(("start", Annotated[str | None, tyro.conf.arg(help=START)], None))
    parts |= {"training": TrainingSettings, "method": settings, "machines": Machines}
    nested = [
        (name, Annotated[part, Flat], dataclasses.field(default_factory=part))
        for name, part in parts.items()
    ]
    return dataclasses.make_dataclass("Train", [("run", Path), *own, *nested], frozen=True)


def wanted(options: Any) -> RunSettings | OptimizerRunSettings:
    """The run that the options ask for. Code of the user's own that they name is run."""
    if isinstance(options.method, LearnerSettings):
        return RunSettings(options.method, options.tasks, options.training)
    if options.problems.tasks.endswith(".py"):
        from quickstudy.runs.problems import own_problems

        own_problems(options.problems.tasks)
    if (options.run / "learner.qs").exists():
        raise UserError(f"{options.run} is a learner's run: choose another --run folder")
    return OptimizerRunSettings(
        options.method, options.problems, options.unrolling, options.training, options.start
    )


def show_standings(name: str, folders: Sequence[Path]) -> None:
    """Print how trained learners stand beside what needs no training, on the validation tasks;
    nothing where this was not measured."""
    from quickstudy.checkpoint import read_header

    found = {folder: read_header(folder / "learner.qs").get("validation") for folder in folders}
    stands = {folder: stand for folder, stand in found.items() if stand is not None}
    if not stands:
        return
    *_, last = stands.values()
    names = [name] if len(stands) == 1 else [f"{name}, {folder.name}" for folder in stands]
    rows = dict(zip(names, (stand["learner"] for stand in stands.values()), strict=True))
    rows |= last["opponents"]
    percent = 100 if last["metric"] == "accuracy" else 1
    digits = 1 if percent == 100 else 3
    cells = [
        [row, f"{percent * of['mean']:.{digits}f} ± {percent * of['interval_95']:.{digits}f}"]
        for row, of in rows.items()
    ]
    columns = ["validation tasks", show.unit(last["metric"])]
    show.table("beside what needs no training", columns, cells, figures=True)
    for folder, stand in stands.items():
        show.line(stand["verdict"])
        if said := length_of(folder, stand["metric"]):
            show.line(said)


def length_of(folder: Path, metric: str) -> str:
    """Say how long a run was trained, and which step validation found best; nothing of a run that
    took no step."""
    from quickstudy.record import METRICS, read_metrics

    column = f"validation {metric}"
    looks = [row for row in read_metrics(folder / METRICS) if column in row]
    if not looks:
        return ""
    pick = max if metric == "accuracy" else min
    best = pick(looks, key=lambda row: row[column])
    return f"{looks[-1]['step']} steps taken; the learner is that of step {best['step']}, the best"


def files_to_name(name: str, settings: RunSettings | OptimizerRunSettings) -> str:
    """The options that name the user's own files of code again: each later command needs them."""
    named = {"--learner": name}
    if isinstance(settings, RunSettings):
        named["--tasks"] = settings.tasks.tasks
    return "".join(
        f" {option} {shlex.quote(file)}"
        for option, file in named.items()
        if file.partition(":")[0].endswith(".py")
    )


def run(words: list[str]) -> int:
    """The command."""
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    name, *rest = words
    if name.startswith("-"):
        raise UserError("which learner? quickstudy train LEARNER --run FOLDER …")
    method = OPTIMIZERS[name] if name in OPTIMIZERS else learner_settings(name)
    if name not in OPTIMIZERS:
        for word, value in itertools.pairwise([*rest, ""]):
            if word.partition("=")[0] == "--tasks":
                run_file_of_tasks(word.partition("=")[2] or value)
    options = read(
        arguments_of(method), rest, f"quickstudy train {name}", description=method.__doc__
    )
    machines: Machines = options.machines
    at_least(options, seeds=1)
    if options.seeds is not None and (options.run / "config.json").exists():
        raise UserError(f"{options.run} is a run of one seed: choose another --run folder")
    if machines.processes > 1:
        from quickstudy.cli.processes import supervise

        return supervise(words, machines.processes, options.run)
    settings = wanted(options)
    if options.seeds is not None:  # the last of them is a seed, or this says so
        settings.with_seed(settings.training.seed + options.seeds - 1)

    from quickstudy.cli.main import complain
    from quickstudy.devices import is_first_process
    from quickstudy.runs.train import train, train_seeds
    from quickstudy.training import TrainingStopped

    machines.join()
    where: dict[str, Any] = {
        "devices": machines.devices,
        "checkpoint_seconds": machines.checkpoint_seconds,
        "seconds": None if machines.minutes is None else 60 * machines.minutes,
    }
    try:
        runs: dict[int, Path] = {}
        if options.seeds is None:
            train(settings, options.run, **where)
        else:
            first = settings.training.seed
            seeds = range(first, first + options.seeds)
            runs = {seed: seed_folder(options.run, seed) for seed in seeds}
            train_seeds(settings, runs, **where)
    except TrainingStopped as stopped:
        return complain(str(stopped), status=128 + stopped.signum)
    if is_first_process():
        if name not in OPTIMIZERS:
            folders = [options.run] if options.seeds is None else list(runs.values())
            show_standings(settings.name, folders)
        then = "optimize" if name in OPTIMIZERS else "evaluate"
        files = files_to_name(name, settings)
        show.line(f"trained: {options.run}    next: quickstudy {then} {options.run}{files}")
    return 0
