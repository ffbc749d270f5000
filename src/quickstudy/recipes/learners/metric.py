"""Options of the metric learners."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from quickstudy.errors import UserError
from quickstudy.recipes.settings import (
    Flat,
    LearnerSettings,
    NetworkSettings,
    Problem,
    at_least,
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


@dataclass(frozen=True)
class MatchingNet(LearnerSettings):
    """Matching networks: labels of the support set by attention to it."""

    name: ClassVar[str] = "matching"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 6000,
        "decay": "halve",
        "train_way": 20,
        "train_query": 5,
    }

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    scale: float | None = None
    """What cosines are multiplied by (in the paper 1); by default it is learned."""
    full_context: bool = False
    """Embed support examples and queries in the context of the whole support set, by LSTMs."""
    read_steps: int = 3
    """With --full-context: how often a query reads the support set."""
    test_steps: int = 0
    """Gradient steps on each support set at test; none are taken in training."""
    test_rate: float = 0.01
    """Their learning rate."""

    def __post_init__(self):
        at_least(self, read_steps=0, test_steps=0)
        if self.scale is not None and not self.scale > 0:
            raise UserError(f"--scale {self.scale}: it must be above 0")

    @property
    def exempt(self) -> dict[str, str]:
        """What the contract suite may not ask of it, and why."""
        if not self.full_context:
            return {}
        return {
            "test_the_order_of_the_support_set_does_not_matter": "an LSTM reads the support set "
            "in its order"
        }

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax
        import optax

        from quickstudy.learners.metric.matching import FullContext, MatchingNet

        self.only_classifies(problem)
        for_network, for_context = jax.random.split(key)
        network = self.network.build(problem.shape, for_network)
        context = None
        if self.full_context:
            context = FullContext(network.outputs, self.read_steps, key=for_context)
        tuner = optax.sgd(self.test_rate)
        return MatchingNet(network, self.scale, context, tuner, self.test_steps)
