"""How many classes and examples an episode takes, and what to say where data has fewer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quickstudy.data.kind import Classes
from quickstudy.errors import UserError


@dataclass(frozen=True)
class Counts:
    """What an episode takes from the classes, and the options that say so."""

    way: int
    shot: int
    query: int
    training: bool = False

    @property
    def examples(self) -> int:
        """Examples of each class."""
        return self.shot + self.query

    def flag(self, name: str) -> str:
        """The option of one of the three."""
        return f"--train-{name}" if self.training else f"--{name}"

    def fewer_classes(self, there: int) -> str:
        """What to do where so many can be taken."""
        if there < 2:
            return "add classes, or give this part more of them with --split FILE"
        return f"{self.flag('way')} {there} is the most, or add classes"

    def fewer_examples(self, there: int) -> str:
        """What to do where each class has so many."""
        shot, query = self.flag("shot"), self.flag("query")
        if there < 2:
            return (
                "an episode needs two at least: add examples, or leave the class out (train with "
                "--skip-small-classes)"
            )
        if there > self.shot:
            most = there - self.shot
            return f"{query} {most} is the most with {shot} {self.shot}, or add examples"
        return f"{shot} {there - 1} with {query} 1 is the most, or add examples"


TWO = Counts(2, 1, 1)
"""What a pair takes."""


def require(
    data: Classes,
    part: str,
    way: int,
    examples: int,
    fewer_classes: Callable[[int], str] = TWO.fewer_classes,
    fewer_examples: Callable[[int], str] = TWO.fewer_examples,
) -> None:
    """Raise `UserError` unless `part` has `way` classes, and each of its classes `examples`; with
    what to do where there are only so many."""
    where = f"{data.said} ({part})"
    source = data.source_for(part, examples)
    if source.classes < way:
        raise UserError(
            f"{where} has {source.classes} {data.classes_with(source.classes, examples)}, but an "
            f"episode needs {way}: {fewer_classes(source.classes)}"
        )
    if (base := data.counted(part)) is None:
        return
    short = np.flatnonzero(base.count < examples)
    if len(short):
        worst = short[np.argmin(base.count[short])]
        others = len(short) - 1
        more = f" (and {others} more {'class has' if others == 1 else 'classes have'} too few)"
        raise UserError(
            f"{where}: class {base.names[worst]!r} has {base.count[worst]} "
            f"{'example' if base.count[worst] == 1 else 'examples'}"
            f"{more if others else ''}, but an episode draws {examples} of each class: "
            f"{fewer_examples(int(base.count[worst]))}"
        )
