"""Options of SNAIL."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from quickstudy.numbers import at_least
from quickstudy.settings.network import NetworkLearnerSettings

SHORTEST = 26
"""What a SNAIL spans at least, so that one that is trained on few examples reads some more."""


@dataclass(frozen=True)
class SNAILSettings(NetworkLearnerSettings):
    """Temporal convolutions and causal attention read the support set, and then the query."""

    name: ClassVar[str] = "snail"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 20_000,
        "meta_batch": 4,
        "decay": "halve",
        "train_query": 3,
    }
    reads_sequences: ClassVar[bool] = True

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

    def following(self, tasks, training):
        assert tasks.train_way is not None
        assert tasks.way is not None
        assert tasks.train_shot is not None
        sets = (tasks.way * tasks.shot, tasks.train_way * tasks.train_shot)
        return {"length": max(SHORTEST, max(sets) + 1, tasks.sequence)}

    def build(self, spec, key):
        import jax

        from quickstudy.learners.memory.snail import SNAIL
        from quickstudy.networks import WithHead

        self.only_classifies(spec)
        for_network, for_embedding, for_blocks = jax.random.split(key, 3)
        network = self.network.build(spec.shape, for_network)
        return SNAIL(
            WithHead(network, self.embedding, key=for_embedding),
            spec.likelihood.size,
            filters=self.temporal_filters,
            length=SHORTEST if self.length is None else self.length,
            normalisation=self.normalisation,
            key=for_blocks,
        )
