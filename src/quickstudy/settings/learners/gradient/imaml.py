"""Options of ImplicitMAML."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.numbers import above, at_least
from quickstudy.settings.learners.gradient.inner_loop import InnerLoopSettings
from quickstudy.settings.optax_optimizer import optax_optimizer


@dataclass(frozen=True)
class ImplicitMAMLSettings(InnerLoopSettings):
    """Implicit MAML: parameters near an initialisation, differentiated as an optimum."""

    name: ClassVar[str] = "imaml"
    default_rates: ClassVar[tuple[float, float]] = (0.1, 0.02)
    default_test_steps: ClassVar[int | None] = None

    inner_steps: int = 16
    """Inner steps in training; memory does not grow with them."""
    inner_optimizer: str = "sgd"
    """Any optimiser that Optax has under this name and that takes a learning rate."""
    strength: float = 2.0
    """λ: how much the squared distance from the initialisation counts."""
    test_strength: float = 0.0
    """The same at test."""
    cg_steps: int = 5
    """Conjugate gradients in each meta-gradient, at most."""
    damping: float = 1.0
    """c: added to the identity in their linear system; 0 for the paper's equation."""
    extra_strength: float = 10.0
    """d: added to λ in their linear system; 0 for the paper's equation."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, inner_steps=1, test_strength=0, cg_steps=1, damping=0, extra_strength=0)
        above(self, strength=0)

    def build(self, spec, key):
        from quickstudy.learners.gradient.imaml import ImplicitMAML

        return ImplicitMAML(
            self.built_network(spec, key),
            optax_optimizer(self.inner_optimizer, self.rate(spec)),
            strength=self.strength,
            test_strength=self.test_strength,
            cg_steps=self.cg_steps,
            damping=self.damping,
            extra_strength=self.extra_strength,
            **self.loop(spec),
        )
