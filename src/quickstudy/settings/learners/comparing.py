"""Options of the learners that compare two inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from quickstudy.settings.learner import (
    Flat,
    LearnerSettings,
    NetworkSettings,
    Problem,
    TrainingTasks,
    at_least,
)

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner


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


@dataclass(frozen=True)
class Siamese(ComparingSettings):
    """Siamese networks: a learned distance tells whether two inputs are of one class."""

    name: ClassVar[str] = "siamese"

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    penalty: float = 0.0
    """How much the sum of squared weights counts in the loss."""

    def __post_init__(self):
        at_least(self, penalty=0)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        from quickstudy.learners.metric.siamese import Siamese

        self.only_classifies(problem)
        return Siamese(self.network.build(problem.shape, key), self.penalty)


@dataclass(frozen=True)
class ARC(ComparingSettings):
    """Attentive recurrent comparators: look back and forth between two pictures."""

    name: ClassVar[str] = "arc"

    glimpses: int = 8
    """Looks at each of the two pictures."""
    window: int = 4
    """A glimpse has this many places in height and in width."""
    controller: int = 512
    """Units of the recurrent network."""

    def __post_init__(self):
        at_least(self, glimpses=1, window=1, controller=1)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        from quickstudy.learners.metric.arc import ARC

        self.only_classifies(problem)
        self.only_reads_numbers(problem)
        return ARC(
            problem.shape,
            glimpses=self.glimpses,
            window=self.window,
            controller=self.controller,
            key=key,
        )
