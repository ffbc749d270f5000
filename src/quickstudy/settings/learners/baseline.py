"""Options of the baselines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from quickstudy.errors import UserError
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
    from quickstudy.task import Episode, TaskDistribution


@dataclass(frozen=True)
class Pixels(LearnerSettings):
    """Nearest neighbour on raw inputs: nothing is learned."""

    name: ClassVar[str] = "pixels"
    defaults: ClassVar[dict[str, Any]] = {"steps": 0}

    distance: Literal["euclidean", "cosine"] = "euclidean"
    """Squared Euclidean distance, or cosine similarity."""
    invert: bool = False
    """Compare 1 - x: makes the paper bright, not the ink, which matters to the cosine."""

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        from quickstudy.learners.baseline.nearest import NearestNeighbour

        self.only_classifies(problem)
        self.only_reads_numbers(problem)
        return NearestNeighbour(self.distance, self.invert)


@dataclass(frozen=True)
class FineTuning(LearnerSettings):
    """A classifier of all training classes, with a new last layer tuned on each task, or whose
    features are compared."""

    name: ClassVar[str] = "finetune"
    defaults: ClassVar[dict[str, Any]] = {"steps": 4000, "train_query": 128}

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    match: Literal["softmax", "cosine", "euclidean"] = "softmax"
    """What says the class: the new last layer, or the nearest support example by the cosine or
    the Euclidean distance of features, as they were trained or tuned with --whole-network."""
    head_steps: int = 100
    """Gradient steps on each support set."""
    head_rate: float = 0.5
    """Their learning rate."""
    whole_network: bool = False
    """Tune the whole network on each support set, not the last layer alone."""
    layer_decay: float = 1.0
    """With --whole-network: each earlier layer's learning rate is this much of the next one's."""
    unfreeze_every: int = 0
    """With --whole-network: steps until the next layer below moves as well; 0 moves all at once."""
    slanted: bool = False
    """Let the learning rate rise over the first tenth of the steps, and fall to nearly nothing."""

    def __post_init__(self):
        at_least(self, head_steps=0, head_rate=0, layer_decay=0, unfreeze_every=0)
        layered = self.layer_decay != 1 or self.unfreeze_every
        if layered and not self.whole_network:
            raise UserError(
                "--layer-decay and --unfreeze-every are about earlier layers: add --whole-network"
            )

    @property
    def trains_on(self) -> TrainingTasks:
        return "batches"

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax
        import optax

        from quickstudy.learners.baseline.deep_nearest import DeepNearestNeighbour
        from quickstudy.learners.baseline.finetuning import FineTuning
        from quickstudy.learners.baseline.transfer import by_layer, slanted_triangle
        from quickstudy.networks import WithHead

        self.only_classifies(problem)
        assert problem.training_classes is not None
        for_body, for_head = jax.random.split(key)
        body = self.network.build(problem.shape, for_body)
        classifier = WithHead(body, problem.training_classes, key=for_head)
        rate = self.head_rate
        optimizer = optax.sgd(slanted_triangle(rate, self.head_steps) if self.slanted else rate)
        if self.layer_decay != 1 or self.unfreeze_every:
            optimizer = optax.chain(optimizer, by_layer(self.layer_decay, self.unfreeze_every))
        if self.match == "softmax":
            return FineTuning(classifier, optimizer, self.head_steps, self.whole_network)
        steps = self.head_steps if self.whole_network else 0
        return DeepNearestNeighbour(classifier, optimizer, steps, self.match)


@dataclass(frozen=True)
class MultiTask(LearnerSettings):
    """One trunk for a fixed list of training tasks and a head for each; a new head at test."""

    name: ClassVar[str] = "multi-task"
    defaults: ClassVar[dict[str, Any]] = {"steps": 5000, "meta_batch": 4, "train_query": 5}

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    training_tasks: int = 100
    """How many tasks are in the list."""
    head_steps: int = 300
    """Gradient steps of a new head on each support set."""
    head_rate: float = 0.03
    """Their learning rate, of Adam."""
    mean_head: bool = False
    """Start a new head from the mean of all instead of from zero."""

    def __post_init__(self):
        at_least(self, training_tasks=1, head_steps=0, head_rate=0)

    def grouped(self, tasks: TaskDistribution[Episode]) -> TaskDistribution[Any]:
        from quickstudy.tasks.finite import Finite, Redrawn

        if not isinstance(tasks, Redrawn):
            raise UserError(
                f"{self.name} learns a fixed list of tasks from new examples of each, and "
                f"{tasks.protocol()['data']} draws a task and its examples at once: take --tasks "
                "sinusoid, or classes"
            )
        return Finite(tasks, self.training_tasks)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax
        import optax

        from quickstudy.learners.baseline.multitask import MultiTask
        from quickstudy.networks import WithHead

        for_body, for_heads = jax.random.split(key)
        body = self.network.build(problem.shape, for_body)
        return MultiTask(
            WithHead(body, problem.likelihood.size, key=for_heads),
            self.training_tasks,
            optax.adam(self.head_rate),
            steps=self.head_steps,
            mean_head=self.mean_head,
            key=for_heads,
        )
