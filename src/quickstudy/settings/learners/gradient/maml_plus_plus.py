"""Options of MAMLPlusPlus."""

from dataclasses import dataclass
from typing import Any, ClassVar

from quickstudy.numbers import above, at_least
from quickstudy.settings.learners.gradient.inner_loop import InnerLoopSettings


@dataclass(frozen=True)
class MAMLPlusPlusSettings(InnerLoopSettings):
    """MAML with learned rates, a loss at each step, and batch normalisation's weights by step."""

    name: ClassVar[str] = "maml++"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 5000,
        "meta_batch": 8,
        "train_query": 5,
        "decay": "cosine",
    }
    default_rates: ClassVar[tuple[float, float]] = (0.1, 0.02)
    default_test_steps: ClassVar[int | None] = None

    inner_steps: int = 5
    """Inner steps in training."""
    annealing: int | None = None
    """Meta-steps after which the last inner step's loss alone counts; at first all count alike. By
    default a tenth of all, as in the authors' configurations."""
    rate_speed: float = 1.0
    """How fast the learned rates move beside the other parameters: slower where training breaks
    down, as it does without batch normalisation."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, inner_steps=1, annealing=0)
        above(self, rate_speed=0)

    def following(self, tasks, training):
        assert training.steps is not None
        return {"annealing": training.steps // 10}

    def build(self, spec, key):
        from quickstudy.learners.gradient.maml_plus_plus import MAMLPlusPlus

        return MAMLPlusPlus(
            self.built_network(spec, key),
            rate=self.rate(spec),
            rate_speed=self.rate_speed,
            annealing=self.defaults["steps"] // 10 if self.annealing is None else self.annealing,
            **self.loop(spec),
        )
