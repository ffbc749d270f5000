"""Options of momentum whose rate and decay are learned."""

from dataclasses import dataclass
from typing import Any, ClassVar

from quickstudy.errors import UserError
from quickstudy.numbers import above
from quickstudy.settings.optimizer import OptimizerSettings


@dataclass(frozen=True)
class MomentumOptimizerSettings(OptimizerSettings):
    """Gradient descent with momentum whose rate and decay are learned."""

    name: ClassVar[str] = "momentum-optimizer"
    defaults: ClassVar[dict[str, Any]] = {"steps": 1000, "meta_batch": 16, "learning_rate": 0.01}

    rate: float = 0.01
    """α at first."""
    momentum: float = 0.9
    """β at first."""

    def __post_init__(self):
        above(self, rate=0)
        if not 0 < self.momentum < 1:
            raise UserError(f"--momentum {self.momentum}: it must be between 0 and 1")

    def build(self, key):
        from quickstudy.optimizers import LearnedMomentum

        return LearnedMomentum(self.rate, self.momentum)
