"""Examples grouped by class, and classes divided into splits."""

import difflib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from quickstudy.datasets.images import Ink
from quickstudy.errors import UserError

SPLITS = ("train", "validation", "test")


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

    columns: tuple[str, ...] | None = None
    """The names of a table's features."""

    scaling: Scaling | None = None
    """What x was standardised by, if it was."""

    ink: Ink | None = None
    """Of pictures that became strokes bright on dark: what ink was in their files."""

    @classmethod
    def from_labels(
        cls, x: np.ndarray, labels: Sequence[str] | Sequence[int] | np.ndarray
    ) -> "Grouped":
        """Group `x` (N, ...) by `labels` (N,): classes in the order of their sorted labels,
        examples of a class in the order they came."""
        names, label, count = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
        return cls(
            x=x[np.argsort(label, kind="stable")],
            first=(np.cumsum(count) - count).astype(np.int32),
            count=count.astype(np.int32),
            names=tuple(str(name) for name in names),
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
            return replace(self, first=self.first[indices], count=count, names=names)
        first = np.cumsum(count) - count
        rows = np.arange(count.sum()) + np.repeat(self.first[indices] - first, count)
        return replace(self, x=self.x[rows], first=first.astype(np.int32), count=count, names=names)

    def require(self, ways: int, examples_each: int, what: str) -> None:
        """Raise `UserError` unless episodes of `ways` classes with `examples_each` (shot +
        query) examples of each can be cut from this. `what` names the data in the message."""
        if self.classes < ways:
            raise UserError(
                f"{what} has {self.classes} classes, but an episode needs {ways}: "
                f"ask for {self.classes} ways or fewer, or add classes"
            )
        short = np.flatnonzero(self.count < examples_each)
        if len(short):
            worst = short[np.argmin(self.count[short])]
            more = f" (and {len(short) - 1} more classes have too few)" if len(short) > 1 else ""
            raise UserError(
                f"{what}: class {self.names[worst]!r} has {self.count[worst]} examples, but an "
                f"episode draws {examples_each} of each class (shot + query){more}: "
                "ask for fewer shots or queries, add examples, or leave the class out"
            )


def split(
    grouped: Grouped,
    fractions: tuple[float, float, float] = (0.64, 0.16, 0.2),
    seed: int = 0,
) -> dict[str, Grouped]:
    """Classes shuffled by `seed` and dealt to "train", "validation" and "test": every class in
    exactly one, at least one class in each. The default fractions are miniImageNet's.

    Raises `UserError` for fractions that are not positive or do not add up to 1, and for fewer
    than 3 classes.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(
            f"split fractions are {fractions}; train, validation and test must each be more "
            "than 0 and add up to 1, as in 0.64 0.16 0.2"
        )
    if grouped.classes < 3:
        raise UserError(
            f"{grouped.classes} classes cannot be split into train, validation and test: "
            "every split needs classes of its own; add classes"
        )
    order = list(range(grouped.classes))
    random.Random(seed).shuffle(order)
    validation = max(1, round(fractions[1] * grouped.classes))
    test = max(1, round(fractions[2] * grouped.classes))
    train = grouped.classes - validation - test
    if train < 1:
        raise UserError(
            f"{grouped.classes} classes with fractions {fractions} leave none for train: "
            "give train a larger fraction, or add classes"
        )
    dealt = order[:train], order[train : train + validation], order[train + validation :]
    return {name: grouped.select(sorted(part)) for name, part in zip(SPLITS, dealt, strict=True)}


def read_split(grouped: Grouped, path: Path) -> dict[str, Grouped]:
    """The split that a JSON file gives, {"train": [names...], "validation": [...], "test":
    [...]}. Classes that it does not mention are left out.

    Raises `UserError` for a file that is not of this form, an unknown class, and a class that
    is listed twice.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no split file {path}: check its path") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"the split file {path} cannot be read as JSON: {error}") from None
    if not (
        isinstance(given, dict)
        and set(given) == set(SPLITS)
        and all(isinstance(names, list) and names for names in given.values())
        and all(isinstance(name, str) for names in given.values() for name in names)
    ):
        raise UserError(
            f"the split file {path} must be "
            '{"train": [names], "validation": [names], "test": [names]}, with a class in each'
        )
    index = {name: i for i, name in enumerate(grouped.names)}
    home: dict[str, str] = {}
    for part in SPLITS:
        for name in given[part]:
            if name not in index:
                close = difflib.get_close_matches(name, grouped.names, n=3, cutoff=0.5)
                raise UserError(
                    f"the split file {path} lists {name!r} under {part}, but the data has no such "
                    f"class: did you mean {' or '.join(close or grouped.names[:3])}?"
                )
            if name in home:
                raise UserError(
                    f"the split file {path} lists class {name!r} under {home[name]} and under "
                    f"{part}: keep it in one, or test classes would not be new"
                    if home[name] != part
                    else f"the split file {path} lists class {name!r} twice under {part}"
                )
            home[name] = part
    return {part: grouped.select([index[name] for name in given[part]]) for part in SPLITS}


def standardise(splits: dict[str, Grouped]) -> dict[str, Grouped]:
    """Feature rows (N, features) shifted and scaled, column by column, to mean 0 and deviation
    1 over the rows of splits["train"]: (x - mean) / deviation. Columns that are constant there
    are only shifted. Without this a column in large units would rule every distance. What
    float32 cannot hold, far from a column that hardly varies, becomes the largest that it can.
    What it was done with is each part's `scaling`.
    """
    train = splits["train"].x.astype(np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    constant = deviation <= np.finfo(np.float32).eps * np.abs(train).max(axis=0)
    by = Scaling(mean, np.where(constant, 1, deviation))
    return {name: replace(part, x=by(part.x), scaling=by) for name, part in splits.items()}
