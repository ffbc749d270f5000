"""A row of a published table as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners import ReptileSettings, TAMLSettings
from quickstudy.settings.run import Asking, RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings

Budget = Literal["cpu", "full"]

PRESENTATIONS = (1, 2, 3, 4, 5, 10)
"""Those that papers print."""


@dataclass(frozen=True)
class Figure:
    """One cell of a table."""

    label: str
    """5-way 1-shot, after 5 steps …"""
    run: RunSettings
    """How the learner is trained; figures with equal settings share one run."""
    test: TaskSettings
    """What it is tested on: way, shot and query count."""
    published: float | None
    """In percent for accuracies; None where the paper has no such figure."""
    options: tuple[tuple[str, Any], ...] = ()
    """Options of the learner at test, say its inner steps."""
    episodes: int = 1000
    part: Literal["test", "train"] = "test"
    """Which classes: those of training tell what was learned by heart."""
    asking: Asking | None = None
    """Labels that are asked for at test."""
    presentations: tuple[float | None, ...] = ()
    """Of a sequence: the published accuracies at the `PRESENTATIONS` of a class."""


@dataclass(frozen=True)
class Recipe:
    """One row."""

    title: str
    source: str
    """Paper and table."""
    figures: tuple[Figure, ...]
    differences: str = ""
    """Where this budget's protocol is not the published one."""
    paired: bool = False
    """Whether figures are methods to be compared with the first one on the same episodes."""


def cosine_training(steps: int, **others: Any) -> TrainingSettings:
    """The rate falls along a cosine, and there are four looks at 100 validation episodes."""
    return TrainingSettings(
        steps=steps,
        decay="cosine",
        validate_every=max(1, steps // 4),
        validation_episodes=100,
        **others,
    )


def same_budget(
    learners: dict[str, LearnerSettings], tasks: TaskSettings, steps: int, **training: Any
) -> tuple[Figure, ...]:
    """One figure a method, each trained for as many meta-steps of as many tasks from the same
    distribution, and tested on the same episodes. Reptile's meta-steps are its own, and a group
    of TAML counts for its tasks."""
    common = TrainingSettings(steps=steps, validate_every=steps // 4, **training)
    meta_batch = training["meta_batch"]

    def training_of(learner: LearnerSettings) -> TrainingSettings:
        if isinstance(learner, ReptileSettings):
            return replace(common, decay=None)
        if isinstance(learner, TAMLSettings) and learner.measure != "entropy":
            return replace(common, meta_batch=meta_batch // learner.group)
        return common

    return tuple(
        Figure(label, RunSettings(learner, tasks, training_of(learner)), tasks, None)
        for label, learner in learners.items()
    )
