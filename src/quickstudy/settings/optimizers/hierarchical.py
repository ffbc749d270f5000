"""Options of the LSTM for each tensor."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.numbers import above, at_least
from quickstudy.settings.optimizer import OptimizerSettings


@dataclass(frozen=True)
class HierarchicalOptimizerSettings(OptimizerSettings):
    """LSTM for each tensor that writes the weights of a tiny network, after VeLO."""

    name: ClassVar[str] = "hierarchical-optimizer"

    units: int = 32
    """Of the LSTM."""
    tiny: tuple[int, ...] = (8,)
    """Widths of the tiny networks' hidden layers."""
    bank: int = 8
    """How many tiny networks it mixes."""
    scale: float = 0.01
    """The learning rate that it begins at."""

    def __post_init__(self):
        at_least(self, units=1, bank=1, tiny=1)
        above(self, scale=0)

    def build(self, key):
        from quickstudy.optimizers import HierarchicalLSTM

        return HierarchicalLSTM(
            units=self.units, hidden=self.tiny, bank=self.bank, scale=self.scale, key=key
        )
