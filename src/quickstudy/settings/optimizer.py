"""The options of a learned optimiser, and how it is built from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.optimizers import LearnedOptimizer


@dataclass(frozen=True)
class OptimizerSettings:
    """The options of one learned optimiser, and how to build it. Each optimiser has a subclass."""

    name: ClassVar[str]
    """What the command line calls it."""
    defaults: ClassVar[dict[str, Any]] = {"steps": 5000, "meta_batch": 16}
    """Training settings that suit it."""

    def build(self, key: PRNGKeyArray) -> LearnedOptimizer:
        """Make the untrained optimiser."""
        raise NotImplementedError
