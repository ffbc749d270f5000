"""Free opponents: what needs no training, beside every run on data of the user's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp

from quickstudy.data.inputs import TokenShape
from quickstudy.data.modes import Labelled, PartlyLabelled
from quickstudy.evaluation import Comparison, Result, paired_difference
from quickstudy.learner import Learnable, Learner
from quickstudy.learners.baseline import logistic
from quickstudy.learners.baseline.nearest import NearestNeighbour
from quickstudy.learners.baseline.nearest_mean import NearestMean
from quickstudy.learners.baseline.on_features import OnFeatures
from quickstudy.learners.baseline.regression import OneForAll, SupportMean
from quickstudy.learners.baseline.ridge import Ridge
from quickstudy.likelihood import Categorical, RealTargets
from quickstudy.networks.bag_of_words import TfIdf
from quickstudy.runs.tasks import training_tasks
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.task_spec import TaskSpec


def free_opponents(spec: TaskSpec) -> dict[str, Learner]:
    """Learners without training for such tasks, by name: all see the inputs that the run's learner
    sees, or TF-IDF vectors of texts. They have to be settled on the training tasks, as any learner.
    Logistic regression is among them where scikit-learn is installed.

    >>> list(free_opponents(TaskSpec((64,), Categorical(5), None)))[:3]
    ['nearest neighbour', 'nearest mean', 'ridge']
    """
    if isinstance(spec.likelihood, RealTargets):
        inputs, targets = math.prod(spec.shape), spec.likelihood.targets
        return {
            "mean": SupportMean(),
            "ridge": Ridge(),
            "one for all": OneForAll(jnp.zeros((1 + inputs, targets)), jnp.ones(targets)),
        }
    if not isinstance(spec.likelihood, Categorical) or spec.description is not None:
        return {}
    found: dict[str, Learner] = {
        "nearest neighbour": NearestNeighbour(),
        "nearest mean": NearestMean(),
        "ridge": Ridge(),
    }
    if logistic.is_there():
        found["logistic regression"] = logistic.LogisticRegression()
    if not isinstance(spec.shape, TokenShape):
        return found
    if (idf := spec.shape.idf) is None:  # words around a blank, whose places matter
        return {}
    return {name: OnFeatures(TfIdf(idf), learner) for name, learner in found.items()}


SETTLING_SEED = 1_000_039


def opponents_of(settings: RunSettings, spec: TaskSpec, tasks: TaskSettings) -> dict[str, Learner]:
    """The free opponents of a run on `tasks`, settled on the run's training tasks: on the user's
    own data, where an episode has a support set of examples. Elsewhere there are none."""
    if not tasks.kind.own or not isinstance(tasks.mode, Labelled | PartlyLabelled):
        return {}

    def settled(opponent: Learner) -> Learner:
        if type(opponent).settle is Learnable.settle:  # which looks at nothing
            return opponent
        key = jax.random.key(SETTLING_SEED)
        return cast(Learner, opponent.settle(training_tasks(settings), key=key))

    return {name: settled(opponent) for name, opponent in free_opponents(spec).items()}


def verdict(name: str, result: Result, free: Mapping[str, Result]) -> str:
    """Say in one sentence whether a learner is ahead of the best of its free opponents, which met
    the same episodes."""
    best = Comparison(dict(free)).best
    difference = paired_difference(result, free[best])
    points = result.headline == "accuracy"
    lead = difference.mean if result.higher_is_better else -difference.mean
    by = f"{abs(lead) * 100:.1f} ± {difference.half_width * 100:.1f} points"
    if not points:
        by = f"{abs(lead):.3g} ± {difference.half_width:.2g} in {result.headline}"
    advice = ". quickstudy adapt --best takes the better one"
    if lead > difference.half_width:
        return f"{name} is ahead of what needs no training: of the best of it, {best}, by {by}"
    if lead < -difference.half_width:
        return (
            f"{name} is BEHIND {best}, which needs no training, by {by}: training did not pay"
            f"{advice}"
        )
    ahead = "ahead" if lead > 0 else "behind"
    return (
        f"{name} is level with {best}, which needs no training ({ahead} by {by}): training has not "
        f"paid yet{advice}"
    )


def standing(name: str, result: Result, free: Mapping[str, Result]) -> dict[str, Any]:
    """How a learner stands beside its free opponents, as plain JSON values."""

    def figure(of: Result) -> dict[str, float]:
        found = of.estimate()
        return {"mean": found.mean, "interval_95": found.half_width}

    return {
        "metric": result.headline,
        "learner": figure(result),
        "opponents": {opponent: figure(of) for opponent, of in free.items()},
        "interval": result.estimate().covers,
        "verdict": verdict(name, result, free),
    }
