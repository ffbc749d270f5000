"""Options of ANIL."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.settings.learners.gradient.inner_loop import InnerLoopSettings


@dataclass(frozen=True)
class ANILSettings(InnerLoopSettings):
    """MAML whose last layer alone adapts."""

    name: ClassVar[str] = "anil"

    def build(self, spec, key):
        import optax

        from quickstudy.learners.gradient.anil import ANIL

        return ANIL(
            network=self.built_network(spec, key),
            optimizer=optax.sgd(self.rate(spec)),
            **self.loop(spec),
        )
