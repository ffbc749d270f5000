"""The learner, problem and tasks that settings name, tried by shapes alone."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from quickstudy import memory
from quickstudy.data.kind import Classes, input_shape
from quickstudy.errors import UserError
from quickstudy.learner import Learner
from quickstudy.likelihood import Categorical, Letters
from quickstudy.runs.tasks import episode_tasks, require_kind, training_source, training_tasks
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.run import WAYS, RunSettings, TaskSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Episode, TaskDistribution

LEARNER_SIZES = "--hidden, --filters"
"""The options that decide how much memory a learner needs."""


def problem_of(settings: RunSettings) -> TaskSpec:
    """What the learner is built for. Raises `UserError` where it does not read such tasks."""
    require_kind(settings.learner, settings.tasks)
    classes = training_source(settings)
    if classes is None:
        t = settings.tasks
        tasks = episode_tasks(t, "train", t.way, t.shot, t.query)
        task = jax.eval_shape(tasks.sample, jax.random.key(0))
        return TaskSpec(task.query.x.shape[1:], task.likelihood, None)
    return TaskSpec(
        input_shape(classes),
        Letters() if settings.tasks.letters else Categorical(settings.tasks.way or WAYS),
        classes.classes,
        description_shape(settings.tasks),
    )


def description_shape(tasks: TaskSettings) -> tuple[int, ...] | None:
    """The shape of the description of one class; None where support sets hold examples."""
    if not tasks.zero_shot:
        return None
    described = cast(Classes, tasks.data).described("train")
    return jax.eval_shape(lambda: described.describe(jnp.asarray(0))).shape


def build(settings: LearnerSettings, problem: TaskSpec, seed: int) -> Learner:
    """The untrained learner. Raises `UserError` where it cannot serve the problem."""
    try:
        return settings.build(problem, jax.random.fold_in(jax.random.key(seed), 2**31 - 1))
    except ValueError as error:
        raise UserError(f"{settings.name}: {error}") from error


class Plan(NamedTuple):
    """What a run trains its learner for, on and by."""

    problem: TaskSpec
    training: TaskDistribution[Any]
    validation: TaskDistribution[Episode]


def plan(settings: RunSettings) -> Plan:
    """The plan of a run with all options `resolved`, before anything is computed.

    Raises `UserError` where the learner cannot be built for the tasks, or does not take the
    training tasks or the validation tasks: both are tried by shapes alone.
    """
    t = settings.tasks
    problem = problem_of(settings)
    learner = eqx.filter_eval_shape(lambda: build(settings.learner, problem, 0))
    memory.require_room(learner, LEARNER_SIZES)
    made = Plan(
        problem,
        training_tasks(settings),
        episode_tasks(t, "validation", t.way, t.shot, t.query),
    )
    in_training = f"--train-way {t.train_way} --train-shot {t.train_shot}"
    for what, options, tried in (
        ("training", f"{in_training} --train-query {t.train_query}", trains_on),
        ("validation", f"--way {t.way} --shot {t.shot} --query {t.query}", predicts),
    ):
        try:
            tried(learner, made)
        except ValueError as error:
            raise UserError(
                f"{settings.name} does not take its {what} tasks ({options}): {error}"
            ) from error
    return made


def trains_on(learner: Learner, made: Plan) -> Any:
    """The shapes of the meta-objective and its figures on a training task. Raises `ValueError`
    where the learner does not take it."""

    def program(learner: Learner, key: PRNGKeyArray):
        first = cast(Learner, learner.at_step(jnp.asarray(0)))
        return first.loss(made.training.sample(key), key=key)

    return eqx.filter_eval_shape(program, learner, jax.random.key(0))


def predicts(learner: Learner, made: Plan) -> Any:
    """The shapes of the figures of a validation task, once the learner is settled. Raises
    `ValueError` where it does not take the task."""

    def program(learner: Learner, key: PRNGKeyArray):
        task = made.validation.sample(key)
        settled = cast(Learner, learner.settle(made.training, key=key))
        return settled.figures(task, key=key)

    return eqx.filter_eval_shape(program, learner, jax.random.key(0))
