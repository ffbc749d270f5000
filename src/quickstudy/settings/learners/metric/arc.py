"""Options of ARC."""

from dataclasses import dataclass
from typing import ClassVar

from quickstudy.numbers import at_least
from quickstudy.settings.learners.metric.comparing import ComparingSettings


@dataclass(frozen=True)
class ARCSettings(ComparingSettings):
    """Attentive recurrent comparators: look back and forth between two pictures."""

    name: ClassVar[str] = "arc"

    glimpses: int = 8
    """Looks at each of the two pictures."""
    window: int = 4
    """A glimpse has this many places in height and in width."""
    controller: int = 512
    """Units of the recurrent network."""

    def __post_init__(self):
        at_least(self, glimpses=1, window=1, controller=1)

    def build(self, spec, key):
        from quickstudy.learners.metric.arc import ARC

        self.only_classifies(spec)
        self.only_reads_numbers(spec)
        return ARC(
            spec.shape,
            glimpses=self.glimpses,
            window=self.window,
            controller=self.controller,
            key=key,
        )
