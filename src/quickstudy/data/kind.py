"""What a kind of data is: each kind is one file beside this one, and `registry.py` lists them.

Nothing here imports JAX at the top, so that `--help` can name all kinds at once: what makes
arrays imports inside the method.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from quickstudy.data.inputs import Inputs, TokenShape
from quickstudy.errors import UserError
from quickstudy.terminal import say_once

if TYPE_CHECKING:
    from quickstudy.data.options import DataOptions
    from quickstudy.datasets.grouped import Grouped
    from quickstudy.datasets.images import Ink
    from quickstudy.datasets.kept import ClassSplit
    from quickstudy.task import Episode, TaskDistribution
    from quickstudy.tasks.few_shot import Draw
    from quickstudy.tasks.source import ClassSource, DescribedSource


class Data(abc.ABC):
    """What tasks are made of: a data set, or a rule that makes tasks.

    A subclass is one kind, and `--tasks NAME` makes an object of it. Its methods load what they
    need when they need it, once. Derive from `Classes` for examples of classes, from which
    `modes.py` cuts episodes, and from `Made` for data that makes whole tasks.
    """

    name: ClassVar[str]
    """What `--tasks` calls it."""
    place: ClassVar[str] = ""
    """What comes after the name and a colon: PATH or FOLDER; nothing for data that needs none."""
    about: ClassVar[str]
    """What it is, in one line."""
    family: ClassVar[str] = ""
    """Kinds of one family may have classes in common; without one, the kind is alone."""
    own: ClassVar[bool] = False
    """Whether it is the user's own."""
    downloads: ClassVar[bool] = False
    """Whether `quickstudy data NAME` fetches it."""
    test_only: ClassVar[bool] = False
    """Whether there is nothing to train on."""
    keeps_classes: ClassVar[bool] = False
    """Whether classes are divided at random or by the user, so that a run keeps their names."""
    things: ClassVar[tuple[str, str]] = ("class", "classes")
    """What is divided into parts: one, and several."""
    has_classes: ClassVar[bool] = True
    """Whether tasks are classification of classes that the data names."""
    has_ways: ClassVar[bool] = True
    """Whether a task has ways: functions have none."""
    is_bytes: ClassVar[bool] = False
    """Whether its inputs are pictures of bytes, read as numbers from 0 to 1."""
    embeds: ClassVar[bool] = False
    """Whether --embed makes features of its pictures or texts."""

    def __init__(self, options: DataOptions):
        self.options = options
        self.said = options.tasks
        """The data as the user named it."""

    @cached_property
    def path(self) -> Path:
        """Where the data is: at the path that the user named. Where there is nothing at it, as from
        another working directory, where it lay when the run was trained; one line on standard error
        says so."""
        return found_at(Path(self.said.partition(":")[2]), self.options.place)

    def refuse_training(self, part: str) -> None:
        """Raise `UserError` where the data has no such part."""
        if self.test_only and part != "test":
            raise UserError(
                f"--tasks {self.said} is there to test on: train on --tasks omniglot --split koch, "
                f"then quickstudy evaluate --tasks {self.said}"
            )

    def names(self, part: str) -> Sequence[str]:
        """Name the classes of a part, before rotations; none where classes have no names."""
        return ()

    def split(self) -> ClassSplit | None:
        """Name the classes that a run keeps; None where they follow from the options."""
        return None

    def inputs(self, shape: tuple[int, ...]) -> Inputs:
        """Describe the inputs of a training on this data; `shape` is an input's."""
        return Inputs(tuple(shape), "auto" if self.strokes(shape) else None, self.is_bytes)

    def older_inputs(self, shape: tuple[int, ...], scaling: dict[str, Any] | None) -> Inputs:
        """Describe the inputs of a run of an older quickstudy, which kept at most the `mean` and
        `deviation` of its features, and their `columns`."""
        by: dict[str, Any] = {word: tuple(values) for word, values in (scaling or {}).items()}
        ink = "auto" if self.strokes(shape) else None
        return Inputs(tuple(shape), ink, self.is_bytes, self.options.label_column, **by)

    def strokes(self, shape: tuple[int, ...]) -> bool:
        """Whether its pictures are strokes, bright on dark."""
        return False

    def ink(self, part: str) -> Ink | None:
        """What was taken for ink in the user's own pictures; None of other data."""
        return None

    def subject(self, way: int, shot: int) -> str:
        """The tasks in a few words, for the title of a report."""
        return f"{self.path.name or self.name}, {way}-way {shot}-shot"

    def most_shots(self, query: int) -> int | None:
        """How many support examples every test class can give beside its queries; None for any
        number, 0 where tasks are not cut out of classes."""
        return 0

    @classmethod
    def find(cls) -> str:
        """Say where the data is, or how it comes here; nothing for data that needs none."""
        return ""

    @classmethod
    def fetch(cls, image_size: int) -> list[str]:
        """Download, check and prepare the data; say what there is, a line each."""
        raise UserError(f"{cls.name} needs nothing to be prepared")


def found_at(given: Path, place: tuple[str, str] | None) -> Path:
    """Give the path that the user named, or the absolute one that a run has kept of it (`place`),
    if only the latter is there."""
    if place is None or place[0] != str(given) or given.exists() or not Path(place[1]).exists():
        return given
    say_once(f"there is no {given} here: {place[1]} is read, where the run was trained on it")
    return Path(place[1])


class Made(Data):
    """Data that makes whole tasks, without classes to draw examples of."""

    has_classes: ClassVar[bool] = False

    @abc.abstractmethod
    def episodes(self, part: str, way: int, shot: int, query: int) -> TaskDistribution[Episode]:
        """Make the tasks of a part. Raises `UserError` where the numbers cannot be."""


class Functions(Made):
    """Data whose tasks are functions: `shot` points are told, and `query` points are asked."""

    has_ways: ClassVar[bool] = False

    def subject(self, way: int, shot: int) -> str:
        return f"{self.name}, {shot} points"


class Classes(Data):
    """Classes with examples to draw."""

    plain_only: ClassVar[bool] = False
    """Whether its examples are tokens, of which episodes are plain or pairs."""
    default_rotations: ClassVar[Literal["none", "classes", "episode"]] = "none"
    """The rotations that suit it, where nothing is said."""

    def __init__(self, options: DataOptions):
        super().__init__(options)
        self._sources: dict[str, ClassSource] = {}

    @abc.abstractmethod
    def drawn(self, part: str) -> ClassSource:
        """Make the source of the classes of a part, before rotations."""

    def source(self, part: str) -> ClassSource:
        """Give the classes of a part, with the rotations that were asked for; made once. Raises
        `UserError` where there is nothing to train on, or inputs cannot be turned."""
        import jax

        from quickstudy.tasks.distorted import rotated

        self.refuse_training(part)
        if part not in self._sources:
            with jax.ensure_compile_time_eval():
                source = self.drawn(part)
            shape = input_shape(source)
            if self.rotations != "none" and (len(shape) != 3 or shape[0] != shape[1]):
                raise UserError(f"--rotations turns square images; these inputs are {shape}")
            self._sources[part] = rotated(source, self.rotations)
        return self._sources[part]

    def source_for(self, part: str, examples: int, training: bool = False) -> ClassSource:
        """Give the classes of a part for episodes that draw so many `examples` of a class; as
        `bent` where they are trained on."""
        return self.bent(self.source(part)) if training else self.source(part)

    def bent(self, source: ClassSource) -> ClassSource:
        """Put images under random affine maps, where this is asked for. Raises `UserError` where
        inputs cannot be bent."""
        from quickstudy.tasks.distorted import Distorted

        if not self.options.distort:
            return source
        if len(shape := input_shape(source)) != 3:
            raise UserError(f"--distort bends images; these inputs are {shape}")
        return Distorted(source)

    def described(self, part: str) -> DescribedSource:
        """Give classes that have descriptions. Raises `UserError` where they have none."""
        from quickstudy.tasks.source import DescribedSource

        source = self.source(part)
        if not isinstance(source, DescribedSource):
            turned = " once they are rotated" if self.rotations != "none" else ""
            raise UserError(
                f"the classes of {self.said} have no descriptions{turned}: --zero-shot is for "
                "glyphs and cub:FOLDER, without --rotations"
            )
        return source

    @property
    def rotations(self) -> Literal["none", "classes", "episode"]:
        """The rotations that were asked for; by default, those that suit the data."""
        return self.options.rotations or self.default_rotations

    @property
    def turns(self) -> int:
        """How many classes a class becomes by rotations."""
        return 4 if self.rotations == "classes" else 1

    def class_name(self, part: str) -> Callable[[int], str]:
        """Give the name of each class, by its label in the (rotated) source."""
        names = self.names(part)
        if self.turns > 1:
            return lambda label: f"{names[label // 4]} turned {label % 4 * 90}°"
        return lambda label: names[label]

    def counted(self, part: str) -> Grouped | None:
        """The examples by class, where classes may have too few; None where they have enough."""
        return None

    def classes_with(self, count: int, examples: int) -> str:
        """Name `count` classes that have so many examples."""
        return "class" if count == 1 else "classes"

    def refuse_unless_plain(self, flags: str) -> None:
        """Raise `UserError` where the options `flags` do not go with such examples."""
        if self.plain_only:
            take = "takes" if "and" not in flags else "take"
            raise UserError(f"{flags} {take} classes of pictures or numbers, not {self.said}")

    def draws(self, draw: Draw) -> Draw:
        """Complete how episodes draw their classes and examples, where the data asks for more."""
        return draw

    def for_a_classifier(self) -> ClassSource:
        """Give the training classes, no more than a classifier of them can hold."""
        return self.bent(self.source("train"))


def input_shape(source: ClassSource) -> tuple[int, ...]:
    """Give the shape of one example."""
    import jax
    import jax.numpy as jnp

    drawn = jax.eval_shape(lambda key: source.draw(key, jnp.asarray(0), 1), jax.random.key(0))
    shape, vocabulary = drawn.shape[1:], getattr(source, "vocabulary", None)
    if vocabulary is None:
        return shape
    idf = getattr(source, "idf", None)
    return TokenShape(shape, vocabulary, None if idf is None else tuple(idf.tolist()))
