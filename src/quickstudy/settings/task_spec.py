"""The shapes and the likelihood of the tasks that a learner is built for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quickstudy.likelihood import Likelihood


@dataclass(frozen=True)
class TaskSpec:
    """What a learner must know of its tasks to be built."""

    shape: tuple[int, ...]
    """The shape of one input."""
    likelihood: Likelihood
    """The likelihood of the tasks at test."""
    training_classes: int | None
    """How many classes there are to train on; None where tasks are not cut out of classes."""
    description: tuple[int, ...] | None = None
    """The shape of a description of a class, where tasks have these in the support set."""

    @property
    def classifies(self) -> bool:
        """Whether targets are classes."""
        from quickstudy.likelihood import Categorical, Letters

        return isinstance(self.likelihood, Categorical | Letters)
