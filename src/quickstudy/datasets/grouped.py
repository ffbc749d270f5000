"""Examples grouped by class, and features standardised."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from quickstudy.datasets.columns import Column
from quickstudy.datasets.embedding_file import EmbeddingFile
from quickstudy.datasets.encoding import Encoding
from quickstudy.datasets.images import Ink


@dataclass(frozen=True, eq=False)
class Scaling:
    """What features are standardised by, column by column: (x - mean) / deviation."""

    mean: np.ndarray
    """(features,) float64 …"""
    deviation: np.ndarray
    """… and as many, none of them 0."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Rows (N, features) standardised, float32. What float32 cannot hold becomes the largest
        number that it can."""
        largest = np.finfo(np.float32).max
        return np.clip((x - self.mean) / self.deviation, -largest, largest).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Grouped:
    """Examples sorted by class: those of class c are x[first[c] : first[c] + count[c]].

    >>> grouped = Grouped.from_labels(np.arange(4.0)[:, None], ["cat", "ant", "cat", "ant"])
    >>> grouped.names, grouped.count.tolist(), grouped.x[:, 0].tolist()
    (('ant', 'cat'), [2, 2], [1.0, 3.0, 0.0, 2.0])
    """

    x: np.ndarray
    """(N, ...) uint8 images (N, height, width, channels), or float32 features (N, features)."""

    first: np.ndarray
    """(classes,) int32: the row of each class's first example."""

    count: np.ndarray
    """(classes,) int32: how many examples each class has."""

    names: tuple[str, ...]

    columns: tuple[Column, ...] | None = None
    """Of a table; x has a number for each cell until it is `encoded`, and after these the target
    where tasks are functions."""

    encoding: Encoding | None = None
    """What made features of a table's columns, if they were."""

    scaling: Scaling | None = None
    """What x was standardised by, if it was."""

    ink: Ink | None = None
    """Of pictures that became strokes bright on dark: what ink was in their files."""

    embedding: EmbeddingFile | None = None
    """Of features of pictures or texts: the model that they come from."""

    rows: np.ndarray | None = None
    """(N,) Where each example stands in its file, or among the files of its folder; None where that
    is not known."""

    @classmethod
    def from_labels(
        cls, x: np.ndarray, labels: Sequence[str] | Sequence[int] | np.ndarray
    ) -> "Grouped":
        """Group `x` (N, ...) by `labels` (N,): classes in the order of their sorted labels,
        examples of a class in the order they came."""
        names, label, count = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
        rows = np.argsort(label, kind="stable")
        return cls(
            x=x[rows],
            first=(np.cumsum(count) - count).astype(np.int32),
            count=count.astype(np.int32),
            names=tuple(str(name) for name in names),
            rows=rows,
        )

    @property
    def classes(self) -> int:
        return len(self.names)

    def select(self, indices: Sequence[int] | np.ndarray) -> "Grouped":
        """Only these classes, in this order: class `indices[c]` becomes class c. A memory-mapped
        x stays whole, on disk."""
        indices = np.asarray(indices, dtype=np.int64)
        names = tuple(self.names[i] for i in indices)
        count = self.count[indices]
        if isinstance(self.x, np.memmap):
            first = self.first[indices]
            return replace(self, first=first, count=count, names=names)
        first = np.cumsum(count) - count
        rows = np.arange(count.sum()) + np.repeat(self.first[indices] - first, count)
        chosen = replace(self, first=first.astype(np.int32), count=count, names=names)
        there = None if self.rows is None else self.rows[rows]
        return replace(chosen, x=self.x[rows], rows=there)

    def encoded(self, where: str, encoding: Encoding) -> "Grouped":
        """The features of the columns of a table; `where` names it in messages."""
        assert self.columns is not None
        found = {column.name: i for i, column in enumerate(self.columns)}
        order = [found[column.name] for column in encoding.columns]
        x = encoding(where, [self.columns[i] for i in order], self.x[:, order])
        targets = self.x[:, len(self.columns) :]
        return replace(self, x=np.concatenate([x, targets], axis=1), encoding=encoding)

    def named(self, names: Sequence[str]) -> "Grouped":
        """Only the classes of these names, in their order."""
        place = {name: i for i, name in enumerate(self.names)}
        return self.select([place[name] for name in names])


def standardise(splits: dict[str, Grouped]) -> dict[str, Grouped]:
    """Feature rows (N, features) shifted and scaled, column by column, to mean 0 and deviation
    1 over the rows of splits["train"]: (x - mean) / deviation. Columns that are constant there
    are only shifted, and so are features of a table that are 0 or 1. Without this a column in
    large units would rule every distance. What float32 cannot hold, far from a column that hardly
    varies, becomes the largest that it can. What it was done with is each part's `scaling`.

    Features of a model (`embedding`) have one unit. They are all divided by one number, the root
    of the mean variance, so that distances between examples stay in proportion: features that
    hardly vary are mostly noise.
    """
    train = splits["train"].x.astype(np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    if splits["train"].embedding is not None:
        deviation = np.full_like(deviation, np.sqrt(np.mean(deviation**2)))
    constant = deviation <= np.finfo(np.float32).eps * np.abs(train).max(axis=0)
    if (encoding := splits["train"].encoding) is not None:
        constant[: len(encoding.flags)] |= encoding.flags
    by = Scaling(mean, np.where(constant, 1, deviation))
    return {name: replace(part, x=by(part.x), scaling=by) for name, part in splits.items()}
