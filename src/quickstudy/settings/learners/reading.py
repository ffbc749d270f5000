"""Options of the learners that read a support set by attention, or keep it in a memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from quickstudy.errors import UserError
from quickstudy.settings.learner import (
    Flat,
    LearnerSettings,
    NetworkSettings,
    Problem,
    above,
    at_least,
)

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner
    from quickstudy.settings.run import TaskSettings, TrainingSettings


SHORTEST = 26
"""What a SNAIL spans at least, so that one that is trained on few examples reads some more."""


@dataclass(frozen=True)
class SNAIL(LearnerSettings):
    """Temporal convolutions and causal attention read the support set, and then the query."""

    name: ClassVar[str] = "snail"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 20_000,
        "meta_batch": 4,
        "decay": "halve",
        "train_query": 3,
    }
    reads_sequences: ClassVar[bool] = True

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    embedding: int = 64
    """What the network makes of an example: so many numbers."""
    temporal_filters: int = 128
    """Of each convolution over time; keys and values are as wide in proportion."""
    length: int | None = None
    """The longest sequence that the convolutions over time span. By default way × shot + 1, in
    training or at test, or --sequence; and at least 26, for five classes of five shots."""
    normalisation: Literal["batch", "support", "running"] = "running"
    """Whose batch statistics normalise a query's embedding at test: the queries' (transductive),
    the support set's, or those of the training tasks."""

    def __post_init__(self):
        at_least(self, embedding=1, temporal_filters=4, length=2)

    def following(self, tasks: TaskSettings, training: TrainingSettings) -> dict[str, Any]:
        assert tasks.train_way is not None
        assert tasks.way is not None
        assert tasks.train_shot is not None
        sets = (tasks.way * tasks.shot, tasks.train_way * tasks.train_shot)
        return {"length": max(SHORTEST, max(sets) + 1, tasks.sequence)}

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.memory.snail import SNAIL
        from quickstudy.networks import WithHead

        self.only_classifies(problem)
        for_network, for_embedding, for_blocks = jax.random.split(key, 3)
        network = self.network.build(problem.shape, for_network)
        return SNAIL(
            WithHead(network, self.embedding, key=for_embedding),
            problem.likelihood.size,
            filters=self.temporal_filters,
            length=SHORTEST if self.length is None else self.length,
            normalisation=self.normalisation,
            key=for_blocks,
        )


@dataclass(frozen=True)
class MemoryModule(LearnerSettings):
    """A memory of keys and classes, written one example after another: answers by its nearest."""

    name: ClassVar[str] = "memory-module"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 20_000,
        "meta_batch": 4,
        "decay": "halve",
        "train_query": 5,
    }
    reads_sequences: ClassVar[bool] = True

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    key_width: int = 128
    """Numbers in a key."""
    slots: int = 8192
    """In the memory, where a stream is longer than that."""
    neighbours: int = 256
    """How many of the nearest keys are looked at for a right and a wrong one."""
    margin: float = 0.1
    """How much nearer the right one should be."""

    def __post_init__(self):
        at_least(self, key_width=1, slots=1, neighbours=2)
        above(self, margin=0)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.memory.memory_module import MemoryModule
        from quickstudy.likelihood import Categorical
        from quickstudy.networks import WithHead

        self.only_classifies(problem)
        if not isinstance(problem.likelihood, Categorical):
            raise UserError(f"{self.name} keeps classes by their numbers: leave out --letters")
        for_network, for_keys = jax.random.split(key)
        network = self.network.build(problem.shape, for_network)
        return MemoryModule(
            WithHead(network, self.key_width, key=for_keys),
            slots=self.slots,
            neighbours=self.neighbours,
            margin=self.margin,
        )


@dataclass(frozen=True)
class MetaNetworks(LearnerSettings):
    """Fast weights from loss gradients, beside slow ones: for the task, and for each example."""

    name: ClassVar[str] = "meta-networks"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 20_000,
        "meta_batch": 4,
        "decay": "halve",
        "train_query": 3,
    }

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    base_width: int = 64
    """The base learner's hidden units."""

    def __post_init__(self):
        at_least(self, base_width=1)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.memory.meta_networks import MetaNetworks
        from quickstudy.networks import MLP, Conv4

        self.only_classifies(problem)
        self.only_reads_numbers(problem)
        for_network, for_rest = jax.random.split(key)
        network = self.network.build(problem.shape, for_network)
        if not isinstance(network, Conv4 | MLP):
            raise UserError(f"{self.name} takes --network conv4, conv4-stride, mlp or mlp-norm")
        size = problem.likelihood.size
        return MetaNetworks(network, size, width=self.base_width, key=for_rest)
