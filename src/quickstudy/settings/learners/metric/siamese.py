"""Options of Siamese."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.numbers import at_least
from quickstudy.settings.learners.metric.comparing import ComparingSettings
from quickstudy.settings.network import NetworkLearnerSettings


@dataclass(frozen=True)
class SiameseSettings(ComparingSettings, NetworkLearnerSettings):
    """Siamese networks: a learned distance tells whether two inputs are of one class."""

    name: ClassVar[str] = "siamese"

    penalty: float = 0.0
    """How much the sum of squared weights counts in the loss."""

    def __post_init__(self):
        at_least(self, penalty=0)

    def build(self, spec, key):
        from quickstudy.learners.metric.siamese import Siamese

        self.only_classifies(spec)
        return Siamese(self.network.build(spec.shape, key), self.penalty)
