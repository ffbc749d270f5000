"""A finished run, opened to be reported on."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from quickstudy.evaluation import Result
from quickstudy.learner import Learner
from quickstudy.runs.folders import seeds_in
from quickstudy.runs.measure import measure_opponents, measure_seeds
from quickstudy.runs.saved import SavedRun, open_seeds
from quickstudy.runs.tasks import episode_tasks
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Episode, TaskDistribution


@dataclass(frozen=True, eq=False)
class OpenedRun:
    """A finished run, opened; or several that differ in their seed, of which the first is drawn
    and all are measured."""

    path: Path
    name: str
    seeds: dict[int, SavedRun]
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the learner that are not as in training."""

    @staticmethod
    def open(path: Path, name: str | None = None) -> OpenedRun:
        """Raises `UserError` as `open_seeds` does."""
        seeds = open_seeds(path)
        return OpenedRun(path, name or next(iter(seeds.values())).settings.name, seeds)

    @property
    def first(self) -> SavedRun:
        """The first seed."""
        return next(iter(self.seeds.values()))

    @property
    def folders(self) -> dict[int, Path]:
        """The folder of each seed."""
        return seeds_in(self.path) or dict.fromkeys(self.seeds, self.path)

    @property
    def settings(self) -> RunSettings:
        """Those of the first seed."""
        return self.first.settings

    @property
    def problem(self) -> TaskSpec:
        """What the learners were built for."""
        return self.first.problem

    @cached_property
    def learner(self) -> Learner:
        """That of the first seed."""
        return self.first.learner(**self.options)

    def having(self, **options: Any) -> OpenedRun:
        """The same with further options of the learner."""
        return replace(self, options={**self.options, **options})

    def as_predicted(self) -> OpenedRun:
        """The same as `predict` uses it: queries are not normalised by their own batch statistics,
        where the learner has the choice."""
        if self.learner.normalised_by == "batch" and self.offers("normalisation"):
            return self.having(normalisation="support")
        return self

    def offers(self, option: str) -> bool:
        """Whether its learner has such an option."""
        return any(field.name == option for field in fields(self.settings.learner))

    @property
    def tasks(self) -> TaskDistribution[Episode]:
        """The test tasks."""
        t = replace(self.settings.tasks, verify=False)
        return episode_tasks(t, "test", t.way, t.shot, t.query)

    def measure(self, episodes: int, seed: int, tasks: TaskSettings | None = None) -> Result:
        """On its own way and shot, or those of `tasks`."""
        return measure_seeds(
            *(self.seeds, self.options),
            tasks=tasks,
            episodes=episodes,
            seed=seed,
            show_progress=False,
        )[0]

    def measure_opponents(self, episodes: int, seed: int) -> dict[str, Result]:
        """What needs no training, on the same episodes; nothing where a run has none of it."""
        return measure_opponents(self.first, episodes=episodes, seed=seed, show_progress=False)


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether inputs of this shape can be drawn."""
    return len(shape) == 3 and shape[-1] in (1, 3, 4)


def shown(x: np.ndarray) -> Float[np.ndarray, "n H W C"]:
    """Images in [0, 1], whatever numbers they were."""
    x = np.asarray(x, np.float32)
    low, high = min(0.0, float(x.min())), max(1.0, float(x.max()))
    return (x - low) / (high - low)
