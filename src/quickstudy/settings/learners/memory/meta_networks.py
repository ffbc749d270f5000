"""Options of MetaNetworks."""

from dataclasses import dataclass
from typing import Any, ClassVar

from quickstudy.errors import UserError
from quickstudy.numbers import at_least
from quickstudy.settings.network import NetworkLearnerSettings


@dataclass(frozen=True)
class MetaNetworksSettings(NetworkLearnerSettings):
    """Fast weights from loss gradients, beside slow ones: for the task, and for each example."""

    name: ClassVar[str] = "meta-networks"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 20_000,
        "meta_batch": 4,
        "decay": "halve",
        "train_query": 3,
    }

    base_width: int = 64
    """The base learner's hidden units."""

    def __post_init__(self):
        at_least(self, base_width=1)

    def build(self, spec, key):
        import jax

        from quickstudy.learners.memory.meta_networks import MetaNetworks
        from quickstudy.networks import MLP, Conv4

        self.only_classifies(spec)
        self.only_reads_numbers(spec)
        for_network, for_rest = jax.random.split(key)
        network = self.network.build(spec.shape, for_network)
        if not isinstance(network, Conv4 | MLP):
            raise UserError(f"{self.name} takes --network conv4, conv4-stride, mlp or mlp-norm")
        size = spec.likelihood.size
        return MetaNetworks(network, size, width=self.base_width, key=for_rest)
