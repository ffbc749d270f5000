"""Options of Statistician."""

from dataclasses import dataclass
from typing import Any, ClassVar

from quickstudy.numbers import at_least
from quickstudy.settings.network import NetworkLearnerSettings


@dataclass(frozen=True)
class StatisticianSettings(NetworkLearnerSettings):
    """The Neural Statistician: a generative model of data sets, and what a set has in common."""

    name: ClassVar[str] = "statistician"
    defaults: ClassVar[dict[str, Any]] = {"steps": 10000, "train_way": 16, "train_query": 4}

    context: int = 64
    """Numbers in the context of a set."""
    latent: int = 16
    """Numbers that an example has beside it."""
    width: int = 256
    """Of the fully connected layers."""
    halve_every_steps: int = 1000
    """Reconstruction counts more at first; by half as much more after each so many steps."""

    def __post_init__(self):
        at_least(self, context=1, latent=1, width=1, halve_every_steps=1)

    def build(self, spec, key):
        import jax

        from quickstudy.learners.memory import statistician

        self.only_classifies(spec)
        self.only_reads_numbers(spec)
        for_network, for_rest = jax.random.split(key)
        return statistician.Statistician(
            self.network.build(spec.shape, for_network, auto="conv4-stride"),
            spec.shape,
            context=self.context,
            latent=self.latent,
            width=self.width,
            halve_every=self.halve_every_steps,
            key=for_rest,
        )
