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
from quickstudy.datasets.kept import NOT_KEPT, ClassSplit
from quickstudy.devices import is_first_process, text_from_first_process
from quickstudy.errors import UserError
from quickstudy.likelihood import LETTERS, Letters, RealTargets
from quickstudy.runs.folders import kept_split
from quickstudy.runs.own_data import for_own_data, overview, without_small_classes
from quickstudy.runs.plan import build, plan
from quickstudy.runs.problem_json import problem_from_json, problem_to_json
from quickstudy.runs.run import Prepared, Start, Training, outer_optimizer
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.terminal import say_once


def prepared(settings: RunSettings, folders: Collection[Path]) -> Prepared:
    """Resolve the settings for a training in these folders. All processes take the classes of the
    first. Raises `UserError` where the runs there have kept other classes."""
    settings = dataclasses.replace(settings, tasks=settings.tasks.placed)
    tasks = settings.tasks
    split, notes = None, []
    if tasks.kind.keeps_classes:
        kept = kept_split(folders, tasks) if is_first_process() else None
        found = json.loads(text_from_first_process(json.dumps(kept and kept.to_json())))
        if found is not None:
            kept = ClassSplit(**{part: tuple(names) for part, names in found.items()})
        tasks = dataclasses.replace(tasks, classes=kept)
        if kept is None and tasks.skip_small_classes:
            kept, said = without_small_classes(settings)
            notes += [said] if said else []
            tasks = dataclasses.replace(tasks, classes=kept)
        split = kept if kept not in (None, NOT_KEPT) else tasks.data.split()
        assert split is not None
        if kept is None and tasks.split is not None:
            split.require_two(f"the split file {tasks.split}")
        mine = json.dumps(split.to_json())
        if text_from_first_process(mine) != mine:
            raise UserError(f"{tasks.tasks} has other classes here than in the first process")
        if split.validates_on_training_classes:
            _, things = tasks.kind.things
            notes.append(
                f"{tasks.tasks} has too few {things} for validation {things} of their own: "
                f"{len(split.train)} to train on, {len(split.test)} to test on. Validation is on "
                f"the training {things}: its figures are NO evidence for new {things}"
            )
    settings, said = for_own_data(dataclasses.replace(settings, tasks=tasks), folders)
    return Prepared(settings.resolved(), split, (*notes, *said))


def training(ready: Prepared, start: Start | None) -> Training:
    """Put together learner, tasks and validation. Raises `UserError` where they do not fit."""
    from quickstudy.runs.opponents import opponents_of
    from quickstudy.training import Validation

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
        notes=(
            *([f"{t.tasks} is read as {ink}"] if ink else ()),
            *ready.notes,
            *overview(settings, problem),
        ),
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
        if inputs.ink == "auto" and tasks.kind.own:
            say_once(
                f"{where} does not say what is ink in its images (an older quickstudy trained it): "
                "dark or light is decided from the images at hand"
            )
    inputs = dataclasses.replace(inputs, learner=f"the learner in {where}")
    tasks = dataclasses.replace(tasks, inputs=inputs, classes=saved_classes(where, tasks, header))
    return dataclasses.replace(settings, tasks=tasks)


def saved_classes(where: Path, tasks: TaskSettings, header: dict[str, Any]) -> ClassSplit | None:
    """Read the classes that a run has kept of the user's own data from its learner's header."""
    if not tasks.kind.keeps_classes:
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
