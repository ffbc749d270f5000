"""Runs of learners: what is trained from `RunSettings`, and how its file is read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.checkpoint import DamagedFile
from quickstudy.data.inputs import Inputs, TokenShape
from quickstudy.data.kind import Classes, input_shape
from quickstudy.data.registry import kind_of
from quickstudy.datasets.kept import NOT_KEPT, ClassSplit
from quickstudy.devices import is_first_process, text_from_first_process
from quickstudy.errors import UserError
from quickstudy.files import read_json
from quickstudy.likelihood import LETTERS, Letters, RealTargets
from quickstudy.record import ANOTHER_FOLDER, CONFIG_FILE
from quickstudy.runs.folders import kept_split
from quickstudy.runs.opponents import opponents_of
from quickstudy.runs.plan import build, plan
from quickstudy.runs.problem_json import problem_from_json, problem_to_json
from quickstudy.runs.run import Prepared, Start, Training, outer_optimizer
from quickstudy.runs.tasks import for_what_is_there
from quickstudy.settings.network import NetworkLearnerSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.settings.training import filled
from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.terminal import say_once
from quickstudy.training import Validation


def prepared(settings: RunSettings, folders: Collection[Path]) -> Prepared:
    """Resolve the settings for a training in these folders. All processes take the classes of the
    first. Raises `UserError` where the runs there have kept other classes."""
    tasks = settings.tasks
    split, notes = None, []
    if kind_of(tasks.tasks).keeps_classes:
        kept = kept_split(folders, tasks) if is_first_process() else None
        found = json.loads(text_from_first_process(json.dumps(kept and kept.to_json())))
        if found is not None:
            kept = ClassSplit(**{part: tuple(names) for part, names in found.items()})
        tasks = dataclasses.replace(tasks, classes=kept)
        split = kept if kept not in (None, NOT_KEPT) else tasks.data.split()
        assert split is not None
        mine = json.dumps(split.to_json())
        if text_from_first_process(mine) != mine:
            raise UserError(f"{tasks.tasks} has other classes here than in the first process")
        if split.validates_on_training_classes:
            notes.append(
                f"{tasks.tasks} has too few classes for validation classes of their own: "
                f"{len(split.train)} to train on, {len(split.test)} to test on. Validation is on "
                "the training classes: its figures are NO evidence for new classes"
            )
    settings, said = for_what_is_there(dataclasses.replace(settings, tasks=tasks))
    if kind_of(tasks.tasks).own:
        settings = for_own_data(settings, folders)
    return Prepared(settings.resolved(), split, (*notes, said) if said else tuple(notes))


MOST_STEPS_BETWEEN_LOOKS = 100
PATIENCE = 10
"""Of training on the user's own data, where nothing else is said."""


def for_own_data(settings: RunSettings, folders: Collection[Path]) -> RunSettings:
    """Fill in the defaults that suit data of the user's own: early stopping, and a network that
    begins as its inputs where these are features and are compared. A run that was begun in one of
    these folders keeps what it began with."""
    options, learner = settings.training, settings.learner
    written = [path for folder in folders if (path := folder / CONFIG_FILE).exists()]
    begun = read_json(written[0], ANOTHER_FOLDER) if written and is_first_process() else None
    begun = json.loads(text_from_first_process(json.dumps(begun)))
    if begun is not None:
        there = begun.get("training", {})
        fill = {word: there.get(word) for word in ("validate_every", "patience")}
    else:
        steps = learner.defaults["steps"] if options.steps is None else options.steps
        every = min(max(1, steps // 20), MOST_STEPS_BETWEEN_LOOKS)
        fill = {"validate_every": every, "patience": PATIENCE}
    if isinstance(learner, NetworkLearnerSettings) and learner.network.network == "auto":
        if begun is not None:
            kind = begun.get("learner", {}).get("network", {}).get("network", "auto")
        else:
            kind = "residual" if learner.compares_features and has_features(settings) else "auto"
        network = dataclasses.replace(learner.network, network=kind)
        learner = dataclasses.replace(learner, network=network)
    return dataclasses.replace(settings, learner=learner, training=filled(options, fill))


def has_features(settings: RunSettings) -> bool:
    """Whether inputs are vectors of numbers."""
    data = settings.tasks.data
    shape = input_shape(data.source("train")) if isinstance(data, Classes) else ()
    return len(shape) == 1 and not isinstance(shape, TokenShape)


def training(ready: Prepared, start: Start | None) -> Training:
    """Put together learner, tasks and validation. Raises `UserError` where they do not fit."""
    settings: RunSettings = ready.settings
    t, options = settings.tasks, settings.training
    problem, tasks, validation_tasks = plan(settings)
    assert options.validate_every is not None
    ink = t.data.ink("train")
    return Training(
        partial(build, settings.learner, problem),
        tasks,
        outer_optimizer(options),
        settings.learner.meta_gradient(),
        Validation(
            validation_tasks,
            options.validate_every,
            options.validation_episodes,
            options.patience,
        ),
        header={
            "problem": problem_to_json(problem),  # what could not be loaded again is not trained
            "inputs": t.data.inputs(problem.shape).to_json(),
            "split": ready.split and ready.split.to_json(),
        },
        notes=((f"{t.tasks} is read as {ink}",) if ink else ()) + ready.notes,
        opponents=opponents_of(settings, problem, t),
    )


def from_header(where: Path, header: dict[str, Any]) -> RunSettings:
    """Read the settings of a learner, and the inputs that it takes, from the header of its file;
    `where` names it in messages. Says on standard error where an older quickstudy did not keep what
    is ink."""
    settings = RunSettings.from_json(header["configuration"])
    tasks, shape = settings.tasks, tuple(header["problem"]["shape"])
    if "inputs" in header:
        inputs = Inputs.from_json(header["inputs"])
    else:
        inputs = tasks.data.older_inputs(shape, header.get("scaling"))
        if inputs.ink == "auto" and kind_of(tasks.tasks).own:
            say_once(
                f"{where} does not say what is ink in its images (an older quickstudy trained it): "
                "dark or light is decided from the images at hand"
            )
    inputs = dataclasses.replace(inputs, learner=f"the learner in {where}")
    tasks = dataclasses.replace(tasks, inputs=inputs, classes=saved_classes(where, tasks, header))
    return dataclasses.replace(settings, tasks=tasks)


def saved_classes(where: Path, tasks: TaskSettings, header: dict[str, Any]) -> ClassSplit | None:
    """Read the classes that a run has kept of the user's own data from its learner's header."""
    if not kind_of(tasks.tasks).keeps_classes:
        return None
    if (found := header.get("split")) is None:  # older runs say nothing of it
        return NOT_KEPT
    try:
        return ClassSplit.from_json(found)
    except ValueError as error:
        raise DamagedFile(f"the learner in {where} is damaged: {error}") from error


def zeros(count: int, shape: tuple[int, ...]) -> Array:
    """Inputs of zeros: real numbers or tokens."""
    return jnp.zeros((count, *shape), int if isinstance(shape, TokenShape) else float)


class Blank(TaskDistribution[Episode]):
    """Tasks of zeros for the problem: enough to learn the structure of a settled learner."""

    problem: TaskSpec = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray) -> Episode:
        shape, likelihood = self.problem.shape, self.problem.likelihood
        x = zeros(2, shape)
        if isinstance(likelihood, RealTargets):
            y = jnp.zeros((2, likelihood.targets))
        else:
            y = jnp.zeros((2, LETTERS) if isinstance(likelihood, Letters) else 2, int)
        return Episode(Examples(x, y), Examples(x, y), likelihood)

    def protocol(self) -> dict[str, Any]:
        return {"data": "blank"}


def structure(settings: RunSettings, header: dict[str, Any]) -> Any:
    """Give the structure of the settled learner, with shapes for arrays."""
    problem = problem_from_json(header["problem"])

    def settled():
        learner = build(settings.learner, problem, 0)
        return learner.settle(Blank(problem), key=jax.random.key(0))

    return eqx.filter_eval_shape(settled)
