"""Classes of examples that lie in memory or in a file."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quickstudy.data.kind import Classes
from quickstudy.errors import UserError

if TYPE_CHECKING:
    from quickstudy.datasets.grouped import Grouped
    from quickstudy.tasks.source import ClassSource


class Real(Classes):
    """Classes of examples that lie in memory or in a file: what `grouped` gives."""

    @abc.abstractmethod
    def grouped(self, part: str) -> Grouped:
        """Read the examples of a part. Raises `UserError` where they cannot be had."""

    @property
    @abc.abstractmethod
    def split_words(self) -> str:
        """Name the division into parts, for protocols."""

    def drawn(self, part: str) -> ClassSource:
        return source_of(self.grouped(part), self.words(part))

    def words(self, part: str) -> dict[str, Any]:
        """Name a part in a protocol."""
        return {"data": self.said, "split": self.split_words, "part": part}

    def names(self, part: str) -> Sequence[str]:
        return self.grouped(part).names

    def counted(self, part: str) -> Grouped | None:
        return self.grouped(part)

    def most_shots(self, query: int) -> int | None:
        return int(self.grouped("test").count.min()) - query


def source_of(examples: Grouped, words: dict[str, Any]) -> ClassSource:
    """Make examples a source, from memory or from the file that they lie in. `words` name it in a
    protocol."""
    from quickstudy.tasks.arrays import ArraySource
    from quickstudy.tasks.mapped import MappedSource

    x, first, count = examples.x, examples.first, examples.count
    if isinstance(x, np.memmap):
        return MappedSource(x, first, count, words)
    return ArraySource(x, first, count, words)


def fewer(names: tuple[str, ...], wanted: int | None) -> tuple[str, ...]:
    """Choose `wanted` training classes at random, in their order; by default all."""
    if wanted is None:
        return names
    if wanted > len(names):
        raise UserError(f"--train-classes {wanted}: there are {len(names)} to train on")
    some = np.random.default_rng(0).permutation(len(names))[:wanted]
    return tuple(names[i] for i in np.sort(some))
