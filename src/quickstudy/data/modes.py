"""The modes of an episode: which labels it tells, and which classes come together in it.

A run is in exactly one mode. The options of `--help` are the fields of the modes, and options go
together where a mode has them all. Nothing here imports JAX at the top.
"""

from __future__ import annotations

import abc
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quickstudy.data.counts import Counts, require
from quickstudy.data.groups import division
from quickstudy.data.kind import Classes
from quickstudy.errors import UserError

if TYPE_CHECKING:
    from quickstudy.task import Episode, TaskDistribution
    from quickstudy.tasks.few_shot import FewShot


@dataclass(frozen=True)
class Mode(abc.ABC):
    """One way to cut episodes out of classes. Its fields are options of `TaskSettings`."""

    @abc.abstractmethod
    def cut(self, data: Classes, part: str, counts: Counts) -> TaskDistribution[Episode]:
        """Cut the classes of a part into episodes. Raises `UserError` where they are too few."""

    def examples(self, counts: Counts) -> int:
        """Count the examples that an episode takes of each class."""
        return counts.examples


@dataclass(frozen=True)
class Labelled(Mode):
    """Episodes of any classes, whose support examples all have labels."""

    fixed_labels: bool = False
    any_shot: bool = False

    def cut(self, data: Classes, part: str, counts: Counts) -> TaskDistribution[Episode]:
        """As `Mode.cut`. Training episodes are of any shot where that is asked for."""
        from quickstudy.tasks.any_shot import AnyShot

        made = few_shot(data, part, counts, fixed_labels=self.fixed_labels)
        return AnyShot(made) if self.any_shot and counts.training else made


@dataclass(frozen=True)
class InProportion(Mode):
    """Episodes whose classes have the shares that they have in the data."""

    proportional: bool = False

    def cut(self, data: Classes, part: str, counts: Counts) -> TaskDistribution[Episode]:
        from quickstudy.tasks.arrays import ArraySource
        from quickstudy.tasks.proportional import Proportional

        data.refuse_unless_plain("--proportional")

        def more_examples(there: int) -> str:
            return "one to learn from and one to ask: add examples, or leave the class out"

        require(data, part, counts.way, 2, counts.fewer_classes, more_examples)
        source = data.source_for(part, 2, counts.training)
        if not isinstance(source, ArraySource):
            raise UserError(
                f"--proportional takes classes of your own that are held in memory, without "
                f"rotations and distortions, not {data.said}"
            )
        return Proportional(source, counts.way, counts.shot, counts.query)


@dataclass(frozen=True)
class OneGroup(Mode):
    """Episodes whose classes are all of one group."""

    within: bool = False

    def cut(self, data: Classes, part: str, counts: Counts) -> TaskDistribution[Episode]:
        from quickstudy.tasks.few_shot import FewShot
        from quickstudy.tasks.within import OneHand

        data.refuse_unless_plain("--within")
        groups = division(data, part, counts.way, counts.flag("way"))
        require_counts(data, part, counts)
        source = data.source_for(part, counts.examples, counts.training)
        return FewShot(source, counts.way, counts.shot, counts.query, OneHand(groups))


@dataclass(frozen=True)
class PartlyLabelled(Mode):
    """Episodes of which some support examples have no label."""

    labelled: float = 1.0
    anywhere: bool = False
    distractors: int = 0
    fixed_labels: bool = False

    def __post_init__(self):
        if not 0 < self.labelled <= 1:
            raise UserError(f"--labelled {self.labelled}: it is a share, above 0 and at most 1")
        if self.anywhere and self.labelled == 1:
            raise UserError("--anywhere is about where labels are missing: add --labelled 0.2")

    def cut(self, data: Classes, part: str, counts: Counts) -> TaskDistribution[Episode]:
        from quickstudy.tasks.partly_labelled import PartlyLabelled as Tasks

        data.refuse_unless_plain("--labelled and --distractors")
        made = few_shot(data, part, counts, self.distractors, self.fixed_labels)
        try:
            return Tasks(made, round(self.labelled * counts.shot), self.distractors, self.anywhere)
        except ValueError as error:
            raise UserError(f"--labelled {self.labelled}: {error}") from error


@dataclass(frozen=True)
class Described(Mode):
    """Episodes with a description of each class in the place of support examples."""

    zero_shot: bool = False

    def examples(self, counts: Counts) -> int:
        return counts.query

    def cut(self, data: Classes, part: str, counts: Counts) -> TaskDistribution[Episode]:
        from quickstudy.tasks.zero_shot import ZeroShot

        described = dataclasses.replace(counts, shot=0)
        way, query = counts.way, counts.query
        require(data, part, way, query, counts.fewer_classes, described.fewer_examples)
        return ZeroShot(data.described(part), way, query)


@dataclass(frozen=True)
class InPairs(Mode):
    """Pairs of two examples: are they of one class?"""

    verify: bool = False
    within: bool = False

    def examples(self, counts: Counts) -> int:
        return 2

    def cut(self, data: Classes, part: str, counts: Counts) -> TaskDistribution[Episode]:
        from quickstudy.tasks.pairs import Pairs

        require(data, part, 2, 2)
        groups = division(data, part, 2) if self.within else None
        source = data.source_for(part, 2, counts.training)
        return Pairs(source, counts.way * counts.query, groups)


@dataclass(frozen=True)
class InSequence(Mode):
    """Sequences of examples, each predicted before its label is told."""

    sequence: int = 0
    letters: bool = False

    def __post_init__(self):
        if self.letters and not self.sequence:
            raise UserError("--letters is about sequences: add --sequence 50")

    def examples(self, counts: Counts) -> int:
        from quickstudy.tasks.sequences import examples_each

        return examples_each(self.sequence, counts.way)

    def cut(self, data: Classes, part: str, counts: Counts) -> TaskDistribution[Episode]:
        from quickstudy.tasks.sequences import Sequences

        data.refuse_unless_plain("--sequence")
        way, length = counts.way, self.sequence

        def shorter(there: int) -> str:
            return f"--sequence {there * way // 2} is the most, or add examples"

        of_class = dataclasses.replace(counts, shot=1, query=1)
        each = self.examples(counts)
        require(data, part, way, each, of_class.fewer_classes, shorter)
        source = data.source_for(part, each, counts.training)
        return Sequences(source, way, length, self.letters)


MODES: tuple[type[Mode], ...] = (
    *(Labelled, InProportion, OneGroup, PartlyLabelled, Described, InPairs, InSequence),
)
OPTIONS = {f.name: f.default for mode in MODES for f in dataclasses.fields(mode)}
"""The options that say a mode, with their defaults."""


def mode_of(settings: Any) -> Mode:
    """Find the mode that has all the options which `settings` changes.

    Raises `UserError` where no mode has them together, or their values cannot be.
    """
    changed = [name for name, default in OPTIONS.items() if getattr(settings, name) != default]
    for mode in MODES:
        if set(changed) <= (names := {f.name for f in dataclasses.fields(mode)}):
            return mode(**{name: getattr(settings, name) for name in names})
    flags = [f"--{name.replace('_', '-')}" for name in changed]
    raise UserError(f"{', '.join(flags[:-1])} does not go with {flags[-1]}: leave one out")


def few_shot(
    data: Classes, part: str, counts: Counts, distractors: int = 0, fixed_labels: bool = False
) -> FewShot:
    """Cut the classes of a part into episodes of any of them, `distractors` classes beside."""
    from quickstudy.tasks.few_shot import AnyClasses, FewShot, FixedLabels

    require_counts(data, part, counts, distractors)
    draw = data.draws(FixedLabels() if fixed_labels else AnyClasses())
    source = data.source_for(part, counts.examples, counts.training)
    return FewShot(source, counts.way, counts.shot, counts.query, draw)


def require_counts(data: Classes, part: str, counts: Counts, distractors: int = 0) -> None:
    """Raise `UserError` unless a part has enough for episodes with `distractors` classes beside."""

    def fewer_classes(there: int) -> str:
        if there < 2 + distractors and distractors:
            return f"--distractors {distractors} are too many, or add classes"
        return counts.fewer_classes(there - distractors)

    way = counts.way + distractors
    require(data, part, way, counts.examples, fewer_classes, counts.fewer_examples)
