"""Options of the transformer that learns in context."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from quickstudy.errors import UserError
from quickstudy.settings.learner import (
    LearnerSettings,
    Problem,
    at_least,
    layers_at_most,
)

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner

MOST_FEATURES = 1000
"""Each value is compared with that of every labelled row."""


@dataclass(frozen=True)
class InContext(LearnerSettings):
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
        layers_at_most(self, "layers")

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        from quickstudy.learners.memory import in_context

        self.only_classifies(problem)
        self.only_reads_numbers(problem)
        if (features := math.prod(problem.shape)) > MOST_FEATURES:
            raise UserError(
                f"in-context takes up to {MOST_FEATURES} features; these inputs have {features}: "
                "make them smaller, or take protonet"
            )
        return in_context.InContext(self.width, self.layers, self.heads, key=key)
