"""What a training of an optimiser is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from quickstudy.errors import UserError
from quickstudy.settings import saved
from quickstudy.settings.optimizer import OptimizerSettings
from quickstudy.settings.problems import ProblemSettings
from quickstudy.settings.training import LATER as LATER_IN_TRAINING
from quickstudy.settings.training import TrainingSettings, filled
from quickstudy.settings.unrolling import UnrollSettings
from quickstudy.user_file import Source, named_class, source_of


@dataclass(frozen=True)
class OptimizerRunSettings:
    """One training of an optimiser."""

    optimizer: OptimizerSettings
    problems: ProblemSettings = field(default_factory=ProblemSettings)
    unrolling: UnrollSettings = field(default_factory=UnrollSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    start: OptimizerRunSettings | str | None = None
    """What it begins with, in place of random weights: the end of another training, or a trained
    optimiser by its name, folder or file."""
    source: Source | None = None
    """The file that defines the problems, for ones of the user's own that are named."""

    def __post_init__(self):
        if self.source is None and self.problems.tasks.endswith(".py"):
            object.__setattr__(self, "source", source_of(named_class(self.problems.tasks)))

    @property
    def name(self) -> str:
        """Of the optimiser."""
        return self.optimizer.name

    def resolved(self) -> OptimizerRunSettings:
        """With the optimiser's defaults wherever nothing was said."""
        fill = {
            "decay": "none",
            "meta_optimizer": "adam",
            "learning_rate": 1e-3,
            **self.optimizer.defaults,
        }
        steps = fill["steps"] if self.training.steps is None else self.training.steps
        fill |= {"steps": steps, "validate_every": max(1, steps // 20)}
        start = (
            self.start.resolved() if isinstance(self.start, OptimizerRunSettings) else self.start
        )
        return dataclasses.replace(self, training=filled(self.training, fill), start=start)

    def with_seed(self, seed: int) -> OptimizerRunSettings:
        """The same from another seed; what it begins with stays as it is."""
        return dataclasses.replace(self, training=dataclasses.replace(self.training, seed=seed))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, from which `from_json` makes the settings again."""
        start = self.start
        return {
            "optimizer": saved.to_json(self.optimizer),
            "problems": saved.to_json(self.problems),
            "unrolling": saved.to_json(self.unrolling),
            "training": saved.to_json(self.training, LATER_IN_TRAINING),
            "start": start.to_json() if isinstance(start, OptimizerRunSettings) else start,
            **({"source": saved.to_json(self.source)} if self.source else {}),
        }

    @staticmethod
    def from_json(found: dict[str, Any]) -> OptimizerRunSettings:
        """The settings in a `config.json`. Raises `UserError` where they are not an optimiser's."""
        from quickstudy.settings.registry import optimizer_settings

        try:
            kind = optimizer_settings(saved.name_in(found, "optimizer"))
            start = found.get("start")
            if isinstance(start, dict):
                start = OptimizerRunSettings.from_json(start)
            else:
                start = saved.from_json(found, "start", str | None)
            return OptimizerRunSettings(
                saved.from_json(found, "optimizer", kind),
                saved.from_json(found, "problems", ProblemSettings),
                saved.from_json(found, "unrolling", UnrollSettings),
                saved.from_json(found, "training", TrainingSettings),
                start,
                saved.source_in(found, "source"),
            )
        except ValueError as error:
            raise UserError(f"this is no optimiser's configuration: {error}") from error
