"""Options of the metric learners."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from quickstudy.recipes.settings import (
    Flat,
    LearnerSettings,
    NetworkSettings,
    Problem,
)

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner


@dataclass(frozen=True)
class ProtoNet(LearnerSettings):
    """Prototypical networks: the nearest class mean in a learned space."""

    name: ClassVar[str] = "protonet"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 6000,
        "decay": "halve",
        "train_way": 20,
        "train_query": 5,
    }

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    distance: Literal["euclidean", "cosine"] = "euclidean"
    """Squared Euclidean distance, or cosine similarity with a learned temperature."""
    normalisation: Literal["batch", "support", "running"] = "running"
    """Whose batch statistics normalise queries at test: their own (transductive), the support
    set's, or those of the training tasks."""

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        from quickstudy.learners.metric.protonet import ProtoNet

        self.only_classifies(problem)
        network = self.network.build(problem.shape, key)
        return ProtoNet(network, self.distance, self.normalisation)
