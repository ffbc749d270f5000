"""Options of MAML."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.numbers import at_least
from quickstudy.settings.learners.gradient.inner_loop import InnerLoopSettings
from quickstudy.settings.optax_optimizer import optax_optimizer


@dataclass(frozen=True)
class MAMLSettings(InnerLoopSettings):
    """Model-agnostic meta-learning: an initialisation from which few gradient steps suffice."""

    name: ClassVar[str] = "maml"

    inner_optimizer: str = "sgd"
    """Any optimiser that Optax has under this name and that takes a learning rate."""
    first_order: bool = False
    """Take inner gradients as constants: no second derivatives."""
    truncate: int | None = None
    """Differentiate through so many of the last inner steps; by default through all."""
    rematerialise: bool = False
    """Compute inner values twice instead of keeping them: less memory, more time."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, truncate=0)

    def build(self, spec, key):
        from quickstudy.learners.gradient.maml import MAML

        return MAML(
            network=self.built_network(spec, key),
            optimizer=optax_optimizer(self.inner_optimizer, self.rate(spec)),
            first_order=self.first_order,
            truncate=self.truncate,
            rematerialise=self.rematerialise,
            **self.loop(spec),
        )
