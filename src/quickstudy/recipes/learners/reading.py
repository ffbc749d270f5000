"""Options of the learners that read a support set by attention, or keep it in a memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

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
    length: int = 26
    """The longest sequence that the convolutions over time span: way × shot + 1, or more."""
    normalisation: Literal["batch", "support", "running"] = "running"
    """Whose batch statistics normalise a query's embedding at test: the queries' (transductive),
    the support set's, or those of the training tasks."""

    def __post_init__(self):
        at_least(self, embedding=1, temporal_filters=4, length=2)

    @property
    def exempt(self) -> dict[str, str]:
        """What the contract suite may not ask of it, and why."""
        return {
            "test_the_order_of_the_support_set_does_not_matter": "it is read in its order",
            "test_labels_are_names_only": "each label has weights of its own, where it comes in "
            "and where it goes out",
            "test_trained_it_learns_from_labels_and_not_from_shuffled_ones": "to bind labels to "
            "examples is learned over hundreds of steps",
        }

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
            length=self.length,
            normalisation=self.normalisation,
            key=for_blocks,
        )
