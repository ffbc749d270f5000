"""Options of CNP."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from quickstudy.errors import UserError
from quickstudy.numbers import MOST_LAYERS, at_least, at_most
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.network import Flat, NetworkSettings


@dataclass(frozen=True)
class CNPSettings(LearnerSettings):
    """Conditional neural processes: the mean of what is read of each example, and attention."""

    name: ClassVar[str] = "cnp"
    defaults: ClassVar[dict[str, Any]] = {"steps": 20000, "meta_batch": 16, "tasks_at_once": 16}

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    """What sees inputs where targets are classes; numbers are taken as they are elsewhere."""
    width: int = 128
    """Of the encoder, the decoder and what is read of an example."""
    layers: int = 4
    """Of the encoder."""
    attention: bool = False
    """Each query has a mean of its own, under weights that compare places."""
    heads: int = 8
    """With attention: how many such means, beside each other."""

    def __post_init__(self):
        at_least(self, width=1, layers=1, heads=1)
        at_most(self, layers=MOST_LAYERS)
        if self.attention and self.width % self.heads:
            raise UserError(f"--heads {self.heads}: --width {self.width} is no multiple of it")

    def build(self, spec, key):
        import jax

        from quickstudy.learners.memory import cnp
        from quickstudy.likelihood import RealTargets
        from quickstudy.networks import MLP

        for_network, for_rest = jax.random.split(key)
        likelihood, targets = spec.likelihood, 0
        if isinstance(likelihood, RealTargets):
            self.only_reads_numbers(spec)
            targets = likelihood.targets
            network = MLP((math.prod(spec.shape),), hidden=(), key=for_network)
        else:
            self.only_classifies(spec)
            network = self.network.build(spec.shape, for_network)
        return cnp.CNP(
            network,
            likelihood,
            targets=targets,
            width=self.width,
            layers=self.layers,
            heads=self.heads if self.attention else 0,
            key=for_rest,
        )
