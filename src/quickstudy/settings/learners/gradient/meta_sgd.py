"""Options of MetaSGD."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.settings.learners.gradient.inner_loop import InnerLoopSettings


@dataclass(frozen=True)
class MetaSGDSettings(InnerLoopSettings):
    """MAML that learns a learning rate for each parameter; --inner-rate is the largest at first."""

    name: ClassVar[str] = "meta-sgd"
    default_rates: ClassVar[tuple[float, float]] = (0.1, 0.2)
    default_test_steps: ClassVar[int | None] = None

    def build(self, spec, key):
        import jax

        from quickstudy.learners.gradient.meta_sgd import MetaSGD, random_rates

        network = self.built_network(spec, key)
        rates = random_rates(network, self.rate(spec), key=jax.random.fold_in(key, 0))
        return MetaSGD(network=network, rates=rates, **self.loop(spec))
