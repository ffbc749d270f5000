"""Options of MTNet."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.settings.learners.gradient.inner_loop import InnerLoopSettings


@dataclass(frozen=True)
class MTNetSettings(InnerLoopSettings):
    """MAML in a learned metric for each layer and, by learned masks, in a subspace."""

    name: ClassVar[str] = "mt-net"
    default_test_steps: ClassVar[int | None] = None

    masks: bool = True
    """Learn which rows of the weights adapt; without, this is T-net."""

    def build(self, spec, key):
        import optax

        from quickstudy.learners.gradient.mt_net import MTNet

        return MTNet(
            self.built_network(spec, key),
            optax.sgd(self.rate(spec)),
            masks=self.masks,
            **self.loop(spec),
        )
