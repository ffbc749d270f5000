"""A row of a published table as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.run import PRINTED_PRESENTATIONS, Asking, RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings

if TYPE_CHECKING:
    from quickstudy.evaluation import Result
    from quickstudy.runs.run import Run
    from quickstudy.runs.saved import SavedRun

Budget = Literal["cpu", "full"]


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
    """Of a sequence: the published accuracies at `PRINTED_PRESENTATIONS` of a class."""

    def measure(
        self, saved: Mapping[int, SavedRun], *, show_progress: bool
    ) -> tuple[Result, dict[str, Any]]:
        """Measure trained seeds on the figure's episodes: the result, and what else stands beside
        it in the file."""
        from quickstudy.runs.measure import measure_seeds

        result, _ = measure_seeds(
            saved,
            dict(self.options),
            tasks=self.test,
            part=self.part,
            episodes=self.episodes,
            asking=self.asking,
            show_progress=show_progress,
        )
        of_paper = zip(PRINTED_PRESENTATIONS, self.presentations, strict=False)
        published = {f"accuracy@{k}": accuracy for k, accuracy in of_paper}
        return result, {"published_at": published} if published else {}


@dataclass(frozen=True)
class OneTest:
    """One cell of a table that is not measured on episodes."""

    label: str
    run: Run
    measured: Callable[[SavedRun], tuple[Result, dict[str, Any]]]
    """Gives the result of one seed, and what else stands beside it in the file."""
    published: float | None = None

    def measure(
        self, saved: Mapping[int, SavedRun], *, show_progress: bool
    ) -> tuple[Result, dict[str, Any]]:
        """Measure trained seeds; what else is said is of the first."""
        from quickstudy.runs.measure import of_seeds

        found = {seed: self.measured(one) for seed, one in saved.items()}
        more = [words for _, words in found.values()]
        return of_seeds({seed: result for seed, (result, _) in found.items()}), more[0]


@dataclass(frozen=True)
class Recipe:
    """One row."""

    title: str
    source: str
    """Paper and table."""
    figures: tuple[Figure, ...] = ()
    differences: str = ""
    """Where this budget's protocol is not the published one."""
    paired: bool = False
    """Whether figures are methods to be compared with the first one on the same episodes."""
    tests: tuple[OneTest, ...] = ()
    """Figures that are not measured on episodes."""
    one_budget: bool = False
    """Whether there is a single budget, named `cpu`, so that the file is NAME.json."""
    found: Callable[[list[dict[str, Any]]], str] | None = None
    """Says in words, after `differences`, what the measured figures tell besides."""


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
    distribution, and tested on the same episodes. A group of tasks counts for its tasks."""
    common = TrainingSettings(steps=steps, validate_every=steps // 4, **training)
    meta_batch = training["meta_batch"]

    def training_of(learner: LearnerSettings) -> TrainingSettings:
        made = replace(common, meta_batch=meta_batch // learner.tasks_in_loss)
        return replace(made, decay=None) if learner.keeps_decay else made

    return tuple(
        Figure(label, RunSettings(learner, tasks, training_of(learner)), tasks, None)
        for label, learner in learners.items()
    )
