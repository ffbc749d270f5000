"""Options of the coordinatewise LSTM."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.numbers import MOST_LAYERS, above, at_least, at_most
from quickstudy.settings.optimizer import OptimizerSettings


@dataclass(frozen=True)
class LSTMOptimizerSettings(OptimizerSettings):
    """Coordinatewise LSTM: a small recurrent network for every parameter, one set of weights."""

    name: ClassVar[str] = "lstm-optimizer"

    layers: int = 2
    """LSTM layers."""
    units: int = 20
    """Units of each."""
    scale: float = 0.01
    """What its output is multiplied by."""
    by_kind: bool = False
    """Kernels of convolutions have weights of their own."""

    def __post_init__(self):
        at_least(self, layers=1, units=1)
        at_most(self, layers=MOST_LAYERS)
        above(self, scale=0)

    def build(self, key):
        import jax

        from quickstudy.optimizers import ByKind, CoordinatewiseLSTM

        options = {"layers": self.layers, "units": self.units, "scale": self.scale}
        if not self.by_kind:
            return CoordinatewiseLSTM(**options, key=key)
        one, other = jax.random.split(key)
        kernels, others = (CoordinatewiseLSTM(**options, key=key) for key in (one, other))
        return ByKind(kernels, others)
