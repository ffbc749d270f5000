"""Options of prototypical networks from descriptions."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.errors import UserError
from quickstudy.numbers import MOST_LAYERS, at_least, at_most
from quickstudy.settings.learners.metric.many_ways import ManyWaysSettings


@dataclass(frozen=True)
class ZeroShotSettings(ManyWaysSettings):
    """Prototypical networks from descriptions of classes, without an example."""

    name: ClassVar[str] = "zero-shot"
    reads_descriptions: ClassVar[bool] = True

    dimension: int = 64
    """Of the space in which pictures and descriptions meet."""
    description_layers: int = 2
    """Hidden layers of the network of descriptions; 0 makes it linear, as in the paper."""
    description_width: int = 256
    """Their width."""

    def __post_init__(self):
        at_least(self, dimension=1, description_layers=0, description_width=1)
        at_most(self, description_layers=MOST_LAYERS)

    def build(self, spec, key):
        import jax

        from quickstudy.learners.metric.zero_shot import ZeroShotProtoNet
        from quickstudy.networks import MLP, WithHead

        self.only_classifies(spec)
        if spec.description is None:
            raise UserError(f"{self.name} learns from descriptions of classes: add --zero-shot")
        a, b, c, d = jax.random.split(key, 4)
        hidden = (self.description_width,) * self.description_layers
        described = MLP(spec.description, hidden=hidden, key=c)
        return ZeroShotProtoNet(
            pictures=WithHead(self.network.build(spec.shape, a), self.dimension, key=b),
            descriptions=WithHead(described, self.dimension, key=d),
        )
