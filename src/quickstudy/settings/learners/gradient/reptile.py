"""Options of Reptile."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from quickstudy.numbers import at_least
from quickstudy.settings.learners.gradient.inner_loop import InnerLoopSettings


@dataclass(frozen=True)
class ReptileSettings(InnerLoopSettings):
    """First-order meta-learning: train on a task, then move some of the way to where that led."""

    name: ClassVar[str] = "reptile"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 5000,
        "meta_batch": 10,
        "train_query": 14,
        "meta_optimizer": "sgd",
        "learning_rate": 1.0,
        "decay": "linear",
    }
    keeps_decay: ClassVar[bool] = True
    default_rates: ClassVar[tuple[float, float]] = (1e-3, 2e-2)
    default_test_steps: ClassVar[int | None] = 5

    inner_steps: int = 3
    """Inner steps in training."""
    inner_optimizer: Literal["adam", "sgd"] = "adam"
    """Adam without momentum (β1 = 0), which remembers from task to task, or plain gradient
    descent."""
    inner_batch: int = 25
    """Examples in each inner step, in training."""
    test_batch: int = 25
    """Examples in each inner step, at test."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, inner_steps=1, inner_batch=1, test_batch=1)

    def meta_gradient(self):
        from quickstudy.metagradients import ReptileGradient

        return ReptileGradient()

    def build(self, spec, key):
        import optax

        from quickstudy.learners.gradient.reptile import Reptile

        rate = self.rate(spec)
        return Reptile(
            network=self.built_network(spec, key),
            optimizer=optax.adam(rate, b1=0.0)
            if self.inner_optimizer == "adam"
            else optax.sgd(rate),
            train_batch=self.inner_batch,
            test_batch=self.test_batch,
            **self.loop(spec),
        )
