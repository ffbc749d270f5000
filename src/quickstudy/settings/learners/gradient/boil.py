"""Options of BOIL."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.settings.learners.gradient.inner_loop import InnerLoopSettings


@dataclass(frozen=True)
class BOILSettings(InnerLoopSettings):
    """MAML whose last layer alone does not adapt."""

    name: ClassVar[str] = "boil"

    def build(self, spec, key):
        import optax

        from quickstudy.learners.gradient.boil import BOIL

        return BOIL(
            network=self.built_network(spec, key),
            optimizer=optax.sgd(self.rate(spec)),
            **self.loop(spec),
        )
