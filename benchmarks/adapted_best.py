"""Measure `quickstudy adapt --best` on average. It chooses a method for each of many test support
sets of a run, by left-out examples and the run's validation. The queries of the episode test it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from quickstudy.estimate import Estimate
from quickstudy.learner import Figures, Learner
from quickstudy.likelihood import Categorical, RealTargets
from quickstudy.runs.opponents import opponents_of
from quickstudy.runs.saved import SavedRun
from quickstudy.runs.tasks import episode_tasks
from quickstudy.serving.adapting import on_validation
from quickstudy.serving.checks import inductive
from quickstudy.serving.left_out import best_of, leave_out, measured
from quickstudy.serving.left_out_rows import left_out_rmse
from quickstudy.task import Episode, Examples, task_keys


def best_on_average(run: Path, episodes: int) -> dict[str, Any]:
    """The figure of --best, of the learner and of each free opponent on the same episodes, as JSON
    values with intervals; how often each was taken; and the paired difference of --best from the
    best opponent."""
    saved = SavedRun.open(run)
    settings, learner = inductive(saved)
    own, t = settings.learner.name, settings.tasks
    methods = {own: learner, **opponents_of(settings, saved.problem, t)}
    validation = on_validation(saved)
    tasks = episode_tasks(t, "test", t.way, t.shot, t.query)
    figures: dict[str, list[float]] = {name: [] for name in ("best", *methods)}
    taken: Counter[str] = Counter()
    for index in range(episodes):
        for_task, key = task_keys(jax.random.key(0), jnp.asarray(index))
        task = tasks.numbered(for_task, jnp.asarray(index))
        name = best_method(methods, task, own, validation)
        taken[name] += 1
        for method, one in methods.items():
            found = _figures(one, task, key)
            figures[method].append(float(found.metrics[found.headline]))
        figures["best"].append(figures[name][-1])
    sign = -1 if isinstance(saved.problem.likelihood, RealTargets) else 1
    free = max((m for m in methods if m != own), key=lambda m: sign * np.mean(figures[m]))
    difference = np.subtract(figures["best"], figures[free])
    return {
        "episodes": episodes,
        **{name: of(np.asarray(values)) for name, values in figures.items()},
        "taken": dict(taken),
        "best opponent": free,
        "difference": of(difference),
    }


@eqx.filter_jit
def _figures(learner: Learner, task: Episode, key: PRNGKeyArray) -> Figures:
    return learner.figures(task, key=key)


def of(values: np.ndarray) -> dict[str, float]:
    """Mean and 95 % interval over episodes."""
    found = Estimate.of(values)
    return {"mean": found.mean, "interval_95": found.half_width}


def best_method(
    methods: dict[str, Learner], task: Episode, own: str, validation: dict[str, float]
) -> str:
    """The method that `adapt --best` takes for a support set; the run's own where none can be
    measured."""
    likelihood = task.likelihood
    if isinstance(likelihood, RealTargets):
        errors = left_out_rmse(methods, task.support, likelihood)
        return min(errors, key=errors.__getitem__) if errors else own
    assert isinstance(likelihood, Categorical)
    order = np.argsort(np.asarray(task.support.y), kind="stable")  # folds are of sorted sets
    support = Examples(task.support.x[order], task.support.y[order])
    count = np.bincount(np.asarray(support.y), minlength=likelihood.size)
    table = measured(leave_out(methods, support, count, jax.random.key(0)))
    return best_of(table, validation) if table else own
