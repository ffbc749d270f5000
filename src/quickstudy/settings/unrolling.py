"""How the meta-gradient of an optimiser is estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from quickstudy.errors import UserError
from quickstudy.numbers import above, at_least


@dataclass(frozen=True)
class UnrollSettings:
    """How the optimiser's meta-gradient is estimated."""

    estimator: Literal["backpropagation", "persistent", "evolution"] = "backpropagation"
    """Truncated back-propagation, or evolution strategies, persistent or truncated."""
    unroll: int = 20
    """Steps that a meta-step looks at."""
    horizon: int = 100
    """Steps that a problem is minimised for."""
    shortest: int | None = None
    """The horizon at first: it grows evenly over the first half of training."""
    weights: Literal["uniform", "linear", "final"] = "uniform"
    """How much the loss after each step counts."""
    second_order: bool = False
    """With back-propagation: differentiate the problems' gradients too."""
    pairs: int = 8
    """With evolution strategies: antithetic pairs of perturbations for each problem."""
    deviation: float = 0.01
    """With evolution strategies: σ, the standard deviation of a perturbation."""

    def __post_init__(self):
        at_least(self, unroll=1, horizon=1, shortest=1, pairs=1)
        for name in ("horizon", "shortest"):
            steps = getattr(self, name)
            if steps is not None and steps % self.unroll:
                raise UserError(
                    f"--{name} {steps}: it must be a multiple of --unroll {self.unroll}"
                )
        if self.shortest is not None and self.shortest > self.horizon:
            raise UserError(f"--shortest {self.shortest} is above --horizon {self.horizon}")
        above(self, deviation=0)
        if self.second_order and self.estimator != "backpropagation":
            raise UserError(f"--second-order goes with backpropagation, not {self.estimator}")

    def meta_gradient(self, steps: int) -> Any:
        """Make the meta-gradient for a training of so many meta-steps."""
        from quickstudy.metagradients import (
            PersistentEvolution,
            TruncatedBackpropagation,
            Unrolling,
        )

        unrolling = Unrolling(self.unroll, self.horizon, self.weights, self.shortest, steps // 2)
        if self.estimator == "backpropagation":
            return TruncatedBackpropagation(unrolling, first_order=not self.second_order)
        persistent = self.estimator == "persistent"
        return PersistentEvolution(unrolling, self.pairs, self.deviation, persistent)
