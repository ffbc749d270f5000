"""Train runs of any kind in their folders: one seed or several."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy import checkpoint, memory
from quickstudy.datasets.kept import ClassSplit
from quickstudy.devices import from_first_process, is_first_process
from quickstudy.evaluation import Comparison, Result, evaluate_all
from quickstudy.learner import Learnable
from quickstudy.record import Record
from quickstudy.runs.evidence import provenance, run_folder
from quickstudy.runs.folders import SPLIT_FILE
from quickstudy.runs.kinds import kind_of_run
from quickstudy.runs.opponents import standing
from quickstudy.runs.run import Prepared, Run, Start, Training
from quickstudy.runs.saved import SavedRun
from quickstudy.terminal import warn
from quickstudy.training import (
    SECONDS_PER_CHECKPOINT,
    VALIDATION_SEED,
    SeedRun,
    Validation,
    meta_train_seeds,
)


def train(
    settings: Run,
    run: Path,
    *,
    devices: int | None = None,
    checkpoint_seconds: float = SECONDS_PER_CHECKPOINT,
    seconds: float | None = None,
    show_progress: bool = True,
) -> Any:
    """Train in the folder `run`, or go on there, and leave what was trained in `learner.qs`
    (`optimizer.qs` for an optimiser). Returns the `Learner` or `LearnedOptimizer`.

    Raises `UserError` for what the user can put right, `TrainingStopped` after a signal.
    """
    [trained] = _train(
        kind_of_run(settings).prepared(settings, [run]),
        {settings.training.seed: run},
        devices=devices,
        checkpoint_seconds=checkpoint_seconds,
        seconds=seconds,
        show_progress=show_progress,
    )
    return trained


def train_seeds(
    settings: Run,
    runs: Mapping[int, Path],
    *,
    devices: int | None = None,
    checkpoint_seconds: float = SECONDS_PER_CHECKPOINT,
    seconds: float | None = None,
    show_progress: bool = True,
) -> None:
    """`train` from each of several seeds, in a folder each, on the same classes: together on an
    accelerator, one after the other on a CPU. Those that are finished are left as they are.

    Raises as `train` does.
    """
    kind = kind_of_run(settings)
    ready = kind.prepared(settings, runs.values())
    finished = from_first_process(np.asarray([(run / kind.file).exists() for run in runs.values()]))
    rest = {}
    for (seed, run), done in zip(runs.items(), finished, strict=True):
        if not done:
            rest[seed] = run
        elif is_first_process():
            Record(run, ready.settings.with_seed(seed).to_json())  # refuses other settings
    if rest:
        _train(
            ready,
            rest,
            devices=devices,
            checkpoint_seconds=checkpoint_seconds,
            seconds=seconds,
            show_progress=show_progress,
        )


def train_unless_done(
    settings: Run, runs: Mapping[int, Path], *, devices: int | None = None, show_progress: bool
) -> dict[int, SavedRun]:
    """`train_seeds` where it is not done, and open each run. Raises as `train` does."""
    train_seeds(settings, runs, devices=devices, show_progress=show_progress)
    return {seed: SavedRun.open(run, kind_of_run(settings)) for seed, run in runs.items()}


def _train(
    ready: Prepared,
    runs: Mapping[int, Path],
    *,
    devices: int | None,
    checkpoint_seconds: float,
    seconds: float | None,
    show_progress: bool,
) -> list[Learnable]:
    settings, kind = ready.settings, kind_of_run(ready.settings)
    evidence = provenance()
    start = started(settings, next(iter(runs.values())).parent, devices, show_progress)
    with memory.named(kind.sizes):
        training = kind.training(ready, start)
        seeds = [
            SeedRun(seed, training.build(seed), run, settings.with_seed(seed).to_json())
            for seed, run in runs.items()
        ]
        if is_first_process():
            for one in seeds:
                keep(ready.split, one)
            for note in training.notes:
                warn(note)
        validation, free = training.validation, opponents_on(training, show_progress)
        if free and validation is not None:
            best = Comparison(free).best
            beside = f"{best} {free[best].estimate().mean:.3f}"
            validation = replace(validation, beside=beside)
        trained = meta_train_seeds(
            seeds,
            training.tasks,
            training.optimizer,
            steps=settings.training.steps,
            meta_batch=settings.training.meta_batch,
            tasks_at_once=settings.training.tasks_at_once,
            devices=devices,
            validation=validation,
            meta_gradient=training.meta_gradient,
            checkpoint_seconds=checkpoint_seconds,
            seconds=seconds,
            show_progress=show_progress,
        )
        learners = []
        for run, learner, look in trained:
            learners.append(learner)
            if not is_first_process():
                continue
            assert run.folder is not None
            assert run.configuration is not None
            header = {
                "configuration": run.configuration,
                **training.header,
                **beside_opponents(settings.name, learner, look, training, free),
                "provenance": evidence,
                "seconds": Record(run.folder, run.configuration).seconds(),
            }
            checkpoint.save(run.folder / kind.file, learner, header)
    return learners


def opponents_on(training: Training, show_progress: bool) -> dict[str, Result]:
    """Measure what needs no training on the validation tasks, once."""
    if training.validation is None:
        return {}
    return on_validation(training.opponents, training.validation, show_progress)


def on_validation(
    learners: Mapping[str, Learnable], validation: Validation, show_progress: bool
) -> dict[str, Result]:
    """Measure learners on the tasks that validation takes."""
    return evaluate_all(
        learners,
        validation.tasks,
        episodes=validation.episodes,
        seed=VALIDATION_SEED,
        show_progress=show_progress and is_first_process(),
    )


def beside_opponents(
    name: str,
    learner: Learnable,
    look: Result | None,
    training: Training,
    free: Mapping[str, Result],
) -> dict[str, Any]:
    """What the header says of a trained learner on the validation tasks beside its free opponents:
    its best `look` there, which is taken again where there is none. Nothing of a learner without
    opponents."""
    if not free or training.validation is None:
        return {}
    if look is None:
        look = on_validation({name: learner}, training.validation, show_progress=False)[name]
    return {"validation": standing(name, look, free)}


def started(settings: Run, beside: Path, devices: int | None, show_progress: bool) -> Start | None:
    """Give what a training begins with: a saved run, or one that is trained in the folder `beside`
    which holds the training's own folder."""
    if settings.start is None:
        return None
    if isinstance(settings.start, str):
        saved = SavedRun.find(settings.start)
        return Start(saved.settings, saved.learner())
    folder = run_folder(beside, settings.start)
    learned = train(settings.start, folder, devices=devices, show_progress=show_progress)
    return Start(settings.start, learned)


def keep(split: ClassSplit | None, run: SeedRun) -> None:
    """Write the names of the classes into the run's folder, if it keeps any and they are not
    there: before the first step, beside `config.json`. Raises `UserError` where the folder is
    another run's."""
    assert run.folder is not None
    assert run.configuration is not None
    Record(run.folder, run.configuration)
    path = run.folder / SPLIT_FILE
    if split is not None and not path.exists():
        content = json.dumps(split.to_json(), indent=1).encode() + b"\n"
        checkpoint.write_atomically(path, content)
