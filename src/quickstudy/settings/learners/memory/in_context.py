"""Options of InContext."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from quickstudy.errors import UserError
from quickstudy.numbers import MOST_LAYERS, at_least, at_most
from quickstudy.settings.learner import LearnerSettings

MOST_FEATURES = 1000
"""Each value is compared with that of every labelled row."""


@dataclass(frozen=True)
class InContextSettings(LearnerSettings):
    """A transformer that reads a labelled table and predicts the labels of other rows."""

    name: ClassVar[str] = "in-context"
    reads_any_table: ClassVar[bool] = True
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 3000,
        "meta_batch": 16,
        "tasks_at_once": 4,
        "learning_rate": 2e-3,
        "clip": 1.0,
        "decay": "cosine",
    }

    width: int = 64
    """Hidden units of the network that looks at columns."""
    layers: int = 8
    """Layers of attention: steps on the loss of the support set."""
    heads: int = 3
    """Heads in each."""

    def __post_init__(self):
        at_least(self, width=1, layers=1, heads=1)
        at_most(self, layers=MOST_LAYERS)

    def build(self, spec, key):
        from quickstudy.learners.memory import in_context

        self.only_classifies(spec)
        self.only_reads_numbers(spec)
        if (features := math.prod(spec.shape)) > MOST_FEATURES:
            raise UserError(
                f"in-context takes up to {MOST_FEATURES} features; these inputs have {features}: "
                "make them smaller, or take protonet"
            )
        return in_context.InContext(self.width, self.layers, self.heads, key=key)
