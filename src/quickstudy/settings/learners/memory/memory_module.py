"""Options of MemoryModule."""

from dataclasses import dataclass
from typing import Any, ClassVar

from quickstudy.errors import UserError
from quickstudy.numbers import above, at_least
from quickstudy.settings.network import NetworkLearnerSettings


@dataclass(frozen=True)
class MemoryModuleSettings(NetworkLearnerSettings):
    """A memory of keys and classes, written one example after another: answers by its nearest."""

    name: ClassVar[str] = "memory-module"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 20_000,
        "meta_batch": 4,
        "decay": "halve",
        "train_query": 5,
    }
    reads_sequences: ClassVar[bool] = True

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

    def build(self, spec, key):
        import jax

        from quickstudy.learners.memory.memory_module import MemoryModule
        from quickstudy.likelihood import Categorical
        from quickstudy.networks import WithHead

        self.only_classifies(spec)
        if not isinstance(spec.likelihood, Categorical):
            raise UserError(f"{self.name} keeps classes by their numbers: leave out --letters")
        for_network, for_keys = jax.random.split(key)
        network = self.network.build(spec.shape, for_network)
        return MemoryModule(
            WithHead(network, self.key_width, key=for_keys),
            slots=self.slots,
            neighbours=self.neighbours,
            margin=self.margin,
        )
