"""Options of the network that every parameter asks."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.numbers import above, at_least
from quickstudy.settings.optimizer import OptimizerSettings


@dataclass(frozen=True)
class MLPOptimizerSettings(OptimizerSettings):
    """Small network that every parameter asks, with hand-made features of its gradients."""

    name: ClassVar[str] = "mlp-optimizer"

    units: tuple[int, ...] = (32, 32)
    """Widths of its hidden layers."""
    scale: float = 0.01
    """What its directions are multiplied by."""

    def __post_init__(self):
        at_least(self, units=1)
        above(self, scale=0)

    def build(self, key):
        from quickstudy.optimizers import CoordinatewiseMLP

        return CoordinatewiseMLP(hidden=self.units, scale=self.scale, key=key)
