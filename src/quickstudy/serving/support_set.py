"""A labelled set as a learner takes it: what `adapt` learns from, and `update` changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped


@dataclass(frozen=True, eq=False)
class SupportSet:
    """Examples sorted by class, classes in the order of `in_order`.

    >>> s = SupportSet.of(np.eye(3), ["b", "a", "b"], ["1.png", "2.png", "3.png"])
    >>> s.names, s.counts, s.examples
    (('a', 'b'), (1, 2), ('2.png', '1.png', '3.png'))
    """

    x: Shaped[np.ndarray, "n ..."]
    """As the learner takes them: real numbers, or tokens."""
    names: tuple[str, ...]
    """Of the classes."""
    counts: tuple[int, ...]
    """How many examples each class has."""
    examples: tuple[str, ...]
    """The name of each example: its file, or its row in a table."""

    @staticmethod
    def of(x: np.ndarray, labels: Sequence[str], examples: Sequence[str]) -> SupportSet:
        """Sort examples by their labels; those of a class stay in the order they came."""
        names = in_order(set(labels))
        place = {name: i for i, name in enumerate(names)}
        codes = np.asarray([place[label] for label in labels], int)
        rows = np.argsort(codes, kind="stable")
        counts = np.bincount(codes, minlength=len(names))
        return SupportSet(
            x[rows], tuple(names), tuple(counts.tolist()), tuple(str(examples[row]) for row in rows)
        )

    @property
    def labels(self) -> list[str]:
        """The class of each example."""
        each = zip(self.names, self.counts, strict=True)
        return [name for name, count in each for _ in range(count)]

    def without(self, names: Collection[str]) -> SupportSet:
        """Take classes away."""
        labels = self.labels
        rows = [i for i, label in enumerate(labels) if label not in names]
        return SupportSet.of(
            self.x[rows], [labels[i] for i in rows], [self.examples[i] for i in rows]
        )

    def joined(self, other: SupportSet) -> SupportSet:
        """Add examples: behind those of the same class."""
        return SupportSet.of(
            np.concatenate([self.x, other.x]),
            [*self.labels, *other.labels],
            [*self.examples, *other.examples],
        )


def in_order(names: Collection[str]) -> list[str]:
    """Sort the names of classes: by size where all are whole numbers, otherwise as strings.

    >>> in_order(["10", "9"]), in_order(["b", "10", "9"])
    (['9', '10'], ['10', '9', 'b'])
    """
    if all(name.isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)
