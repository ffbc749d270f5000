"""Options of nearest neighbour on raw inputs."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from quickstudy.settings.learner import LearnerSettings


@dataclass(frozen=True)
class PixelsSettings(LearnerSettings):
    """Nearest neighbour on raw inputs: nothing is learned."""

    name: ClassVar[str] = "pixels"
    defaults: ClassVar[dict[str, Any]] = {"steps": 0}

    distance: Literal["euclidean", "cosine"] = "euclidean"
    """Squared Euclidean distance, or cosine similarity."""
    invert: bool = False
    """Compare 1 - x: makes the paper bright, not the ink, which matters to the cosine."""

    def build(self, spec, key):
        from quickstudy.learners.baseline.nearest import NearestNeighbour

        self.only_classifies(spec)
        self.only_reads_numbers(spec)
        return NearestNeighbour(self.distance, self.invert)
