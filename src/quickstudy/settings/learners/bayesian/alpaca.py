"""Options of ALPaCA."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from quickstudy.numbers import at_least
from quickstudy.settings.learner import LearnerSettings


@dataclass(frozen=True)
class ALPaCASettings(LearnerSettings):
    """Bayesian linear regression on learned features, with a prior learned from many tasks."""

    name: ClassVar[str] = "alpaca"
    defaults: ClassVar[dict[str, Any]] = {"steps": 2000, "meta_batch": 16, "tasks_at_once": 16}

    hidden: tuple[int, ...] = (64, 32)
    """Widths of the layers of the network beside the inputs; the last one's are features."""

    def __post_init__(self):
        at_least(self, hidden=1)

    def build(self, spec, key):
        from quickstudy.learners.bayesian.alpaca import ALPaCA
        from quickstudy.likelihood import RealTargets
        from quickstudy.networks import MLP

        self.only_reads_numbers(spec)
        targets = 1
        if isinstance(spec.likelihood, RealTargets):
            targets = spec.likelihood.targets
        else:
            self.only_classifies(spec)
        network = MLP(spec.shape, hidden=self.hidden, key=key)
        return ALPaCA(network, math.prod(spec.shape), targets)
