"""The user's own data: read whole, divided by the names of its classes, brought to the inputs that
a trained learner takes."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quickstudy.data.inputs import Inputs
from quickstudy.data.kind import Data
from quickstudy.data.real import Real, fewer
from quickstudy.datasets.duplicates import Place, copies
from quickstudy.datasets.encoding import Encoding
from quickstudy.datasets.grouped import Grouped, standardise
from quickstudy.datasets.kept import (
    NOT_KEPT,
    SPLITS,
    ClassSplit,
    by_hash,
    random_split,
    read_split,
    shuffled,
)
from quickstudy.errors import UserError
from quickstudy.terminal import say_once

if TYPE_CHECKING:
    from quickstudy.datasets.embedding import EmbeddingModel


class Divided(Data):
    """A data set of the user's own that is divided by the names of its classes; or of its tasks,
    where each is a small data set."""

    own: ClassVar[bool] = True
    family: ClassVar[str] = "own"
    keeps_classes: ClassVar[bool] = True

    @abc.abstractmethod
    def read(self) -> Grouped:
        """Read all classes from `path`. Raises `UserError` where they cannot be read."""

    @cached_property
    def everything(self) -> Grouped:
        """All classes, brought to the inputs of a trained learner where there is one. Says in one
        line on standard error which classes the run does not know."""
        from quickstudy.devices import is_first_process

        found, inputs = self.read(), self.options.inputs
        if is_first_process() and (said := self.what_is_new(found.names)):
            say_once(said)
        if inputs is None:
            return found
        inputs.require_model(self.said, found.embedding)
        return self.brought(found, inputs)

    def brought(self, found: Grouped, inputs: Inputs) -> Grouped:
        """Bring examples to the inputs of a trained learner. Raises `UserError` where they do not
        fit."""
        x = inputs.brought(self.said, found.x, found.columns)
        return replace(found, x=x, scaling=inputs.scaling, encoding=inputs.encoding)

    def split(self, fewest: int = 0) -> ClassSplit:
        """Name the classes of each part: as a run has kept them, as a file says, or at random;
        without those that have fewer than `fewest` examples."""
        names, count = self.everything.names, self.everything.count
        small = {name for name, here in zip(names, count, strict=True) if here < fewest}
        if self.options.split is not None:
            return self.split_among(names).without(small)
        return self.split_among([n for n in names if n not in small]).among(names)

    def split_among(self, names: Sequence[str]) -> ClassSplit:
        """Divide the classes `names`."""
        kept, file = self.options.classes, self.options.split
        if kept is not None and kept != NOT_KEPT:
            return kept
        if file is not None:
            split = read_split(Path(file), names)
        else:
            order = by_hash if kept is None else shuffled
            split = random_split(names, self.options.split_seed, self.said, order, self.things)
        train = fewer(split.train, self.options.train_classes)
        validation = train if split.validates_on_training_classes else split.validation
        return ClassSplit.of(train, validation, split.test, names)

    @cached_property
    def parts(self) -> dict[str, Grouped]:
        """The classes by part, without parts of which a class has gone; features standardised by
        the training classes, unless they are already."""
        return self.divided(self.everything)

    def divided(self, everything: Grouped) -> dict[str, Grouped]:
        """Divide examples by part; encode the columns of a table and standardise features, by the
        training classes."""
        parts = self.by_part(everything)
        if everything.x.ndim == 2 and not everything.scaling:
            if "train" not in parts:
                raise UserError(self.gone("train", everything.names))
            if everything.columns is not None and everything.encoding is None:
                encoding = Encoding.of(
                    self.said, everything.columns, parts["train"].x[:, : len(everything.columns)]
                )
                parts = {name: part.encoded(self.said, encoding) for name, part in parts.items()}
            parts = standardise(parts)
        return parts

    def by_part(self, everything: Grouped) -> dict[str, Grouped]:
        """Divide examples by part, without parts of which a class has gone."""
        split = self.split_among(everything.names)
        gone = [part for part in SPLITS if self.gone(part, everything.names)]
        return {p: everything.named(split.part(p)) for p in SPLITS if p not in gone}

    def grouped(self, part: str) -> Grouped:
        """Raises `UserError` where the data no longer has a class that the run has in this
        part."""
        if part not in self.parts:
            raise UserError(self.gone(part, self.everything.names))
        return self.parts[part]

    def names(self, part: str) -> Sequence[str]:
        kept = self.options.classes
        return self.grouped(part).names if kept in (None, NOT_KEPT) else kept.part(part)

    @property
    def split_words(self) -> str:
        return self.options.split or f"random, seed {self.options.split_seed}"

    def what_is_new(self, names: Sequence[str]) -> str:
        """What to say where the data has classes that the run does not know, or the run has not
        kept its classes; else nothing."""
        kept = self.options.classes
        if kept is None:
            return ""
        if kept == NOT_KEPT:
            if self.options.split is not None and self.options.train_classes is None:
                return ""
            return (
                "the run kept no names of its classes (an older quickstudy trained it), so they "
                f"are chosen anew by --split-seed {self.options.split_seed}: if classes of "
                f"{self.said} were added, renamed or taken away since, test classes may have been "
                "trained on"
            )
        if not (new := kept.unknown(names)):
            return ""
        return (
            f"{self.said} has {counted(new, self.things)} that the run does not know, "
            f"{listed(new)}: left out (to take new {self.things[1]} in, add them to a copy of the "
            "run's split.json and give --split that)"
        )

    def gone(self, part: str, names: Sequence[str]) -> str:
        """What to say of classes of a part that are not among `names`; nothing where all are."""
        split, there = self.split_among(names), set(names)
        missing = [name for name in split.part(part) if name not in there]
        if not missing:
            return ""
        new = split.unknown(names)
        renamed = (
            f" (it has {listed(new)} instead: a {self.things[0]} is known by its name)"
            if new
            else ""
        )
        return (
            f"{self.said} no longer has {listed(missing)}, of the {part} {self.things[1]} of the "
            f"run{renamed}: put back what is missing, or say with --split FILE which "
            f"{self.things[1]} to take"
        )


class Own(Divided, Real):
    """Classes of the user's own; a kind of them says how they are `read`."""

    @property
    def model(self) -> EmbeddingModel | None:
        """The model of `--embed`, which must be the one of a trained learner where there is one.
        Raises `UserError` where it cannot be opened, or is another one."""
        from quickstudy.datasets.embedding import open_model

        given, inputs = self.options.embed, self.options.inputs
        return None if given is None else open_model(given, inputs and inputs.embedding)

    def by_part(self, everything: Grouped) -> dict[str, Grouped]:
        """Divide examples by part. Says in one line on standard error where identical ones are."""
        from quickstudy.devices import is_first_process

        parts = super().by_part(everything)
        if is_first_process() and (said := self.said_of_copies(parts)):
            say_once(said)
        return parts

    def said_of_copies(self, parts: dict[str, Grouped]) -> str:
        """What to say where examples are identical: how many, and two of them; else nothing."""
        train = parts.get("train")
        kept = dict(parts)
        if train and "validation" in kept and kept["validation"].names == train.names:
            del kept["validation"]  # there are too few classes for others

        def two(a: Place, b: Place) -> str:
            return " and ".join(self.example_names(kept[at.part], [at.row])[0] for at in (a, b))

        found = [
            f"{len(pairs)} {words} ({two(*pairs[0])})" for words, pairs in copies(kept).items()
        ]
        if not found:
            return ""
        return (
            f"{self.said} has inputs that come more than once: {', '.join(found)}. Figures are too "
            "good where one stands in the support set and its copy among the queries, or one was "
            "trained on: take the copies away"
        )

    def example_names(self, examples: Grouped, rows: Sequence[int]) -> list[str]:
        """Name the examples in some rows of x: by their files, or by their rows in the file."""
        numbers = rows if examples.rows is None else examples.rows[np.asarray(rows, int)]
        return [f"{self.path}, row {number}" for number in numbers]

    def embedded(self, examples: Grouped, pictures: Sequence[np.ndarray] | None = None) -> Grouped:
        """The features of examples, of their `pictures` or of x, where `--embed` is given."""
        from quickstudy.datasets.embedding import embedded

        model = self.model
        return examples if model is None else embedded(examples, model, pictures)

    def words(self, part: str) -> dict[str, Any]:
        words, model = super().words(part), self.everything.embedding
        if model is None:
            return words
        return {**words, "features": f"{Path(model.path).name}, SHA-256 {model.sha256[:12]} …"}

    def inputs(self, shape: tuple[int, ...]) -> Inputs:
        train = self.grouped("train")
        pictures = train.x.dtype == np.uint8
        ink = train.ink.colour if train.ink else "auto" if self.strokes(shape) else None
        by = train.scaling
        return Inputs(
            tuple(shape),
            ink,
            pictures,
            self.options.label_column,
            train.encoding and train.encoding.features,
            None if by is None else tuple(by.mean.tolist()),
            None if by is None else tuple(by.deviation.tolist()),
            None if pictures else float(train.x.min()),
            None if pictures else float(train.x.max()),
            embedding=train.embedding,
            encoding=train.encoding,
        )


def counted(names: Sequence[str], things: tuple[str, str] = ("class", "classes")) -> str:
    """How many classes they are, or other things."""
    return f"{len(names)} {things[len(names) != 1]}"


def listed(names: Sequence[str]) -> str:
    """The first few of some names.

    >>> listed(["ant", "bee", "cat", "dog"])
    "'ant', 'bee', 'cat' …"
    """
    return ", ".join(map(repr, names[:3])) + (" …" if len(names) > 3 else "")
