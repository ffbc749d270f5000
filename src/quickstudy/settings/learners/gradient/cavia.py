"""Options of CAVIA."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.numbers import at_least
from quickstudy.settings.learners.gradient.inner_loop import InnerLoopSettings


@dataclass(frozen=True)
class CAVIASettings(InnerLoopSettings):
    """A few context parameters are all that adapts to a task."""

    name: ClassVar[str] = "cavia"
    default_rates: ClassVar[tuple[float, float]] = (1.0, 2.0)
    default_test_steps: ClassVar[int | None] = None

    inner_steps: int = 2
    """Inner steps in training."""
    context: int | None = None
    """Context parameters; by default 100 for classes, 5 for real targets."""

    def __post_init__(self):
        super().__post_init__()
        at_least(self, context=1)

    def build(self, spec, key):
        import jax
        import optax

        from quickstudy.learners.gradient.cavia import CAVIA, modulation

        network = self.built_network(spec, key)
        size = self.context
        if size is None:
            size = 100 if spec.classifies else 5
        enters = modulation(network, size, key=jax.random.fold_in(key, 0))
        return CAVIA(network, enters, optax.sgd(self.rate(spec)), **self.loop(spec))
