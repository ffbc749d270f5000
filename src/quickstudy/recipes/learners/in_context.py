"""Options of the transformer that learns in context."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from quickstudy.errors import UserError
from quickstudy.recipes.settings import LearnerSettings, Problem, TokenShape, at_least

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner

MOST_FEATURES = 128
"""Each cell of a table is a token: more of them take more memory than they bring."""


@dataclass(frozen=True)
class InContext(LearnerSettings):
    """A transformer that reads a labelled table and predicts the labels of other rows."""

    name: ClassVar[str] = "in-context"
    defaults: ClassVar[dict[str, Any]] = {
        "steps": 1700,
        "meta_batch": 16,
        "tasks_at_once": 4,
        "learning_rate": 7e-4,
        "clip": 1.0,
        "decay": "cosine",
    }

    width: int = 48
    """Numbers in the token of a cell, a multiple of 16."""
    cells: int = 3
    """Layers in which each cell of the table is a token."""
    row_width: int = 96
    """Numbers in the token of a row, a multiple of 16."""
    rows: int = 3
    """Layers after these, in which each row is a token."""

    def __post_init__(self):
        at_least(self, width=16, cells=1, row_width=16, rows=0)
        for name in ("width", "row_width"):
            if getattr(self, name) % 16:
                flag = "--" + name.replace("_", "-")
                raise UserError(f"{flag} {getattr(self, name)}: it must be a multiple of 16")

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        from quickstudy.learners.memory import in_context

        self.only_classifies(problem)
        if isinstance(problem.shape, TokenShape):
            raise UserError("in-context reads numbers; these inputs are tokens")
        if (features := math.prod(problem.shape)) > MOST_FEATURES:
            raise UserError(
                f"in-context takes up to {MOST_FEATURES} features; these inputs have {features}: "
                "make them smaller, or take protonet"
            )
        if problem.likelihood.size > in_context.CLASSES:
            raise UserError(
                f"in-context tells up to {in_context.CLASSES} classes apart, not "
                f"{problem.likelihood.size}: ask for a smaller --way"
            )
        return in_context.InContext(self.width, self.cells, self.row_width, self.rows, key=key)
