"""Options of the metric learners."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from quickstudy.errors import UserError
from quickstudy.settings.learner import (
    Flat,
    LearnerSettings,
    NetworkSettings,
    Problem,
    TokenShape,
    above,
    at_least,
    layers_at_most,
)

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner
    from quickstudy.settings.run import TaskSettings, TrainingSettings
    from quickstudy.task import Episode, TaskDistribution


MANY_WAYS: dict[str, Any] = {"steps": 6000, "decay": "halve", "train_way": 20, "train_query": 5}
"""Episodes of more classes than at test, one a step."""


@dataclass(frozen=True)
class ProtoNet(LearnerSettings):
    """Prototypical networks: the nearest class mean in a learned space."""

    name: ClassVar[str] = "protonet"
    defaults: ClassVar[dict[str, Any]] = MANY_WAYS

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


MOST_CLASSES = 5000
"""Glyphs are endless; TADAM learns to tell this many of the training classes apart."""


def twentieth(steps: int) -> int:
    """T / 20, after which TADAM trains less often on all classes; at least one step."""
    return max(1, steps // 20)


@dataclass(frozen=True)
class TADAM(LearnerSettings):
    """Prototypical networks that read the task first, and turn their network for it."""

    name: ClassVar[str] = "tadam"
    defaults: ClassVar[dict[str, Any]] = MANY_WAYS

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    batch: int = 64
    """Examples in each step of classification of all training classes."""
    anneal_every: int | None = None
    """Steps until the probability of such a step falls by a tenth, from 0.9 on; by default a
    twentieth of all, as in the paper."""
    normalisation: Literal["batch", "support", "running"] = "running"
    """Whose batch statistics normalise queries at test: their own (transductive), the support
    set's, or those of the training tasks."""

    def __post_init__(self):
        at_least(self, batch=1, anneal_every=1)

    def following(self, tasks: TaskSettings, training: TrainingSettings) -> dict[str, Any]:
        assert training.steps is not None
        return {"anneal_every": twentieth(training.steps)}

    def grouped(self, tasks: TaskDistribution[Episode]) -> TaskDistribution[Any]:
        from quickstudy.tasks.any_shot import AnyShot
        from quickstudy.tasks.cotraining import CoTraining
        from quickstudy.tasks.few_shot import FewShot

        if not isinstance(tasks, FewShot | AnyShot):
            raise UserError(
                f"{self.name} learns to tell all training classes apart beside episodes, and "
                f"{tasks.protocol()['data']} is not cut out of classes: take protonet"
            )
        return CoTraining(tasks, self.batch, self.classified(tasks.source.classes))

    def classified(self, training_classes: int) -> int:
        """How many of the training classes it learns to tell apart."""
        return min(training_classes, MOST_CLASSES)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.metric.tadam import TADAM

        self.only_classifies(problem)
        assert problem.training_classes is not None
        network = self.network
        tokens = isinstance(problem.shape, TokenShape)
        if network.network == "auto" and len(problem.shape) != 3 and not tokens:
            network = replace(network, network="mlp-norm")  # TADAM conditions its normalised layers
        for_network, rest = jax.random.split(key)
        return TADAM(
            network.build(problem.shape, for_network),
            self.classified(problem.training_classes),
            every=twentieth(MANY_WAYS["steps"]) if self.anneal_every is None else self.anneal_every,
            normalisation=self.normalisation,
            key=rest,
        )


@dataclass(frozen=True)
class TapNet(LearnerSettings):
    """Learned references, and a projection for each task that turns its classes to them."""

    name: ClassVar[str] = "tapnet"
    defaults: ClassVar[dict[str, Any]] = MANY_WAYS

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    references: int | None = None
    """By default as many as there are classes in an episode, in training or at test."""
    normalisation: Literal["batch", "support", "running"] = "running"
    """Whose batch statistics normalise queries at test: their own (transductive), the support
    set's, or those of the training tasks."""

    def __post_init__(self):
        at_least(self, references=2)

    def following(self, tasks: TaskSettings, training: TrainingSettings) -> dict[str, Any]:
        assert tasks.train_way is not None
        assert tasks.way is not None
        return {"references": max(tasks.train_way, tasks.way)}

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.metric.tapnet import TapNet

        self.only_classifies(problem)
        for_network, rest = jax.random.split(key)
        network = self.network.build(problem.shape, for_network)
        references = self.references
        if references is None:
            references = max(MANY_WAYS["train_way"], problem.likelihood.size)
        if references >= network.outputs:
            raise UserError(
                f"--references {references}: the network has {network.outputs} features, and "
                "it takes more of them than references to project"
            )
        return TapNet(network, references, normalisation=self.normalisation, key=rest)


@dataclass(frozen=True)
class ZeroShot(LearnerSettings):
    """Prototypical networks from descriptions of classes, without an example."""

    name: ClassVar[str] = "zero-shot"
    defaults: ClassVar[dict[str, Any]] = MANY_WAYS
    reads_descriptions: ClassVar[bool] = True

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    dimension: int = 64
    """Of the space in which pictures and descriptions meet."""
    description_layers: int = 2
    """Hidden layers of the network of descriptions; 0 makes it linear, as in the paper."""
    description_width: int = 256
    """Their width."""

    def __post_init__(self):
        at_least(self, dimension=1, description_layers=0, description_width=1)
        layers_at_most(self, "description_layers")

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.metric.zero_shot import ZeroShotProtoNet
        from quickstudy.networks import MLP, WithHead

        self.only_classifies(problem)
        if problem.description is None:
            raise UserError(f"{self.name} learns from descriptions of classes: add --zero-shot")
        a, b, c, d = jax.random.split(key, 4)
        hidden = (self.description_width,) * self.description_layers
        described = MLP(problem.description, hidden=hidden, key=c)
        return ZeroShotProtoNet(
            pictures=WithHead(self.network.build(problem.shape, a), self.dimension, key=b),
            descriptions=WithHead(described, self.dimension, key=d),
        )


@dataclass(frozen=True)
class MatchingNet(LearnerSettings):
    """Matching networks: labels of the support set by attention to it."""

    name: ClassVar[str] = "matching"
    defaults: ClassVar[dict[str, Any]] = MANY_WAYS

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
        at_least(self, read_steps=0, test_steps=0, test_rate=0)
        above(self, scale=0)

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
