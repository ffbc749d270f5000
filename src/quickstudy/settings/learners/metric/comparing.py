"""Options of the learners that compare two inputs."""

from dataclasses import dataclass
from typing import Any, ClassVar

from quickstudy.settings.learner import LearnerSettings, TrainingTasks


@dataclass(frozen=True)
class ComparingSettings(LearnerSettings):
    """Options of the learners that compare two inputs."""

    compares: ClassVar[bool] = True
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 6000,
        "decay": "cosine",
        "train_way": 20,
        "train_query": 3,
    }

    crossed: bool = False
    """Train on every pair of a support and a query example of an episode, instead of on pairs
    drawn one by one, of which a task has 2 × --train-way × --train-query."""

    @property
    def trains_on(self) -> TrainingTasks:
        return "episodes" if self.crossed else "pairs"
