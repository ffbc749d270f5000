"""Options of MatchingNet."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.numbers import above, at_least
from quickstudy.settings.learners.metric.many_ways import ManyWaysSettings


@dataclass(frozen=True)
class MatchingNetSettings(ManyWaysSettings):
    """Matching networks: labels of the support set by attention to it."""

    name: ClassVar[str] = "matching"
    compares_features: ClassVar[bool] = True

    scale: float | None = None
    """What cosines are multiplied by (in the paper 1); by default it is learned."""
    full_context: bool = False
    """Embed support examples and queries in the context of the whole support set, by LSTMs."""
    read_steps: int = 3
    """With --full-context: how often a query reads the support set."""
    test_steps: int = 0
    """Gradient steps on each support set at test; none are taken in training."""
    test_rate: float = 0.01
    """Their learning rate."""

    def __post_init__(self):
        at_least(self, read_steps=0, test_steps=0, test_rate=0)
        above(self, scale=0)

    def build(self, spec, key):
        import jax
        import optax

        from quickstudy.learners.metric.matching import FullContext, MatchingNet

        self.only_classifies(spec)
        for_network, for_context = jax.random.split(key)
        network = self.network.build(spec.shape, for_network)
        context = None
        if self.full_context:
            context = FullContext(network.outputs, self.read_steps, key=for_context)
        tuner = optax.sgd(self.test_rate)
        return MatchingNet(network, self.scale, context, tuner, self.test_steps)
