"""Measure trained learners on seeded episodes of their own tasks or of others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from quickstudy import memory
from quickstudy.data.inputs import Inputs, TokenShape
from quickstudy.data.kind import Classes, input_shape
from quickstudy.data.seen import warn_of_seen_classes
from quickstudy.errors import UserError
from quickstudy.evaluation import Met, Result, average, evaluate_all, has_parameters
from quickstudy.learner import Learner
from quickstudy.networks.network import Network
from quickstudy.open_set import OpenSetLearner
from quickstudy.runs.by_example import rows_of
from quickstudy.runs.known import knows_unknown, with_unknown
from quickstudy.runs.opponents import opponents_of
from quickstudy.runs.saved import SavedRun
from quickstudy.runs.tasks import asked_tasks, episode_tasks, require_kind
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.run import Asking, RunSettings, TaskSettings
from quickstudy.task import Episode, TaskDistribution
from quickstudy.tasks.open_set import OpenSet
from quickstudy.terminal import say_once

EPISODE_SIZES = "--way, --shot and --query"
"""The options that decide how much memory an episode needs."""


def measure_seeds(
    saved: Mapping[int, SavedRun], options: Mapping[str, Any] | None = None, **protocol: Any
) -> tuple[Result, dict[int, Result]]:
    """`measure` each seed on the same episodes, with these `options` of the learner: the result
    `of_seeds`, and the result of each."""
    each = {
        seed: measure(one.settings, one.learner(**(options or {})), **protocol)
        for seed, one in saved.items()
    }
    return of_seeds(each), each


def measure_opponents(
    saved: SavedRun, tasks: TaskSettings | None = None, **protocol: Any
) -> dict[str, Result]:
    """`measure` what needs no training on the same episodes, by name; nothing where a run has no
    free opponents (see `opponents_of`)."""
    free = opponents_of(saved.settings, saved.problem, tasks or saved.settings.tasks)
    found = measure_all(saved.settings, free, tasks=tasks, **protocol) if free else {}
    return {
        name: dataclasses.replace(result, learner={**result.learner, "learner": name})
        for name, result in found.items()
    }


def of_seeds(each: dict[int, Result]) -> Result:
    """Give the `average` of several seeds, or the result of one."""
    return average(each) if len(each) > 1 else next(iter(each.values()))


BATCH_NORM = {
    "batch": "batch statistics (transductive)",
    "support": "support statistics (inductive)",
    "running": "training statistics (inductive)",
}


def batch_norm_words(learner: Learner) -> str:
    """Say for a protocol whose batch statistics normalise queries. A learner of the user's own that
    does not say it (`Learner.normalised_by`) at least says whether it is transductive."""
    if learner.normalised_by is not None:
        return BATCH_NORM[learner.normalised_by]
    parts = jax.tree.leaves(learner, is_leaf=lambda x: isinstance(x, Network))
    if not any(isinstance(x, Network) and x.normalises for x in parts):
        return "none"
    return BATCH_NORM["batch"] if learner.transductive else "statistics of other inputs (inductive)"


def learner_protocol(
    settings: LearnerSettings, learner: Learner | OpenSetLearner
) -> dict[str, Any]:
    """The words that name a learner beside a result."""
    if isinstance(learner, OpenSetLearner):
        asked, of = learner.false_alarms, learner.reference.words
        plain = learner_protocol(settings, learner.learner)
        return {**plain, "false alarms asked for": asked, "reference": of}
    words: dict[str, Any] = {"learner": settings.name, "batch norm": batch_norm_words(learner)}
    for field in ("test_steps", "steps"):
        if hasattr(learner, field):
            words["steps at test"] = getattr(learner, field)
    return words


def require_inputs(
    tasks: TaskSettings, part: str, inputs: Inputs, distribution: TaskDistribution[Episode]
) -> None:
    """Raise `UserError` unless the tasks have inputs like those of the training. Says on standard
    error how images are read, where the run has not decided or most of them look otherwise."""
    x = jax.eval_shape(distribution.sample, jax.random.key(0)).query.x
    inputs.require_shape(tasks.tasks, x.shape[2:] if tasks.verify else x.shape[1:])
    if tasks.data.is_bytes and not tasks.data.own:
        inputs.require_units(tasks.tasks)
    ink = tasks.data.ink(part)
    if ink is not None and (inputs.ink == "auto" or ink.otherwise > 0.5):
        say_once(f"{tasks.tasks} is read as {ink}{'' if inputs.ink == 'auto' else IN_TRAINING}")


def require_numbers(settings: RunSettings, tasks: TaskSettings, part: str) -> None:
    """Raise `UserError` where the inputs of tasks are tokens."""
    data = tasks.data
    if isinstance(data, Classes) and isinstance(input_shape(data.source(part)), TokenShape):
        raise UserError(f"{settings.name} reads numbers; the inputs of {tasks.tasks} are tokens")


IN_TRAINING = ", as in training"


def measure(settings: RunSettings, learner: Learner, **protocol: Any) -> Result:
    """`measure_all` of one learner."""
    return measure_all(settings, {"": learner}, **protocol)[""]


@memory.named(EPISODE_SIZES)
def measure_all(
    settings: RunSettings,
    learners: Mapping[str, Learner],
    *,
    tasks: TaskSettings | None = None,
    part: str = "test",
    episodes: int = 1000,
    seed: int = 0,
    asking: Asking | None = None,
    open_set: float | None = None,
    called: str = "the run",
    by_example: bool = False,
    show_progress: bool = True,
) -> dict[str, Result]:
    """`evaluate_all` on one split of `tasks` (by default the run's own), protocol filled in; once
    labels have been asked for by a single learner, if `asking` says so; with queries of other
    classes as well, which may be called unknown at the rate of false alarms `open_set`.
    `by_example` keeps the answer to each query of the user's own classes. The tasks' inputs are
    brought to those of the training, but for a learner that reads any table. Warns on standard
    error where classes that are tested on have names of classes that the run, `called` so, was
    trained on, and where inputs may be others than in training.

    Raises `UserError` where a learner cannot serve those tasks.
    """
    t = as_read(settings, tasks or settings.tasks)
    require_kind(settings.learner, t)
    if settings.learner.reads_any_table:
        require_numbers(settings, t, part)
    warn_of_seen_classes(settings.tasks, t, part, called)

    def cut(t: TaskSettings) -> TaskDistribution[Episode]:
        made = episode_tasks(t, part, t.way, t.shot, t.query)
        return made if open_set is None else with_unknown(made)

    distribution, rows = cut(t), None
    measured: dict[str, Learner | OpenSetLearner] = {**learners}
    task = jax.eval_shape(distribution.sample, jax.random.key(0))
    memory.require_room(task, EPISODE_SIZES)
    if t.inputs is not None:
        require_inputs(t, part, t.inputs, distribution)
    if open_set is not None and isinstance(distribution, OpenSet):
        for name, learner in learners.items():
            measured[name] = knows_unknown(settings, learner, distribution, open_set)
    if asking is not None:
        (learner,) = learners.values()
        distribution = asked_tasks(distribution, asking, learner)
    elif by_example:
        (learner,) = measured.values()
        rows = rows_of(t, learner, distribution, task)
    sample = {"episodes": episodes, "seed": seed, "show_progress": show_progress}
    try:
        found = evaluate_all(measured, distribution, rows=rows, **sample)
    except ValueError as error:
        raise UserError(str(error)) from error
    met = next(iter(found.values())).tasks
    plain = dataclasses.replace(t, inputs=inputs_of_any_learner(t, task))
    if t.inputs != plain.inputs:
        counts = {word: met.protocol[word] for word in ("episodes", "seed")}
        met = Met.of(cut(plain), **counts)
    return {
        name: dataclasses.replace(
            result,
            learner={**result.learner, **learner_protocol(settings.learner, measured[name])},
            trained=has_parameters(learners[name]),
            tasks=met,
        )
        for name, result in found.items()
    }


def as_read(settings: RunSettings, tasks: TaskSettings) -> TaskSettings:
    """Give tasks with the inputs that the learner of a run takes; as they are to a learner that
    reads any table."""
    inputs = None if settings.learner.reads_any_table else settings.tasks.inputs
    return dataclasses.replace(tasks, inputs=inputs)


def inputs_of_any_learner(t: TaskSettings, task: Episode) -> Inputs | None:
    """Give the inputs of tasks without what each training decides for itself: learners that scale
    the same features differently have met the same tasks."""
    shape = task.query.x.shape[2:] if t.verify else task.query.x.shape[1:]
    if t.inputs is None and len(shape) == 1 and t.kind.own:
        return Inputs.unscaled(shape, t.data.inputs(shape).encoding)
    return t.inputs and t.inputs.of_any_learner
