"""Columns of numbers, dates and categories -> features, as training had them.

    number      the number; the mean of the training rows where it is missing
    date        days since 2000-01-01; sine and cosine of the weekday, and of the day of the year
    category    a feature for each word of the training rows, 1 where the cell is this word

Where a number or a date was missing in a training row, a further feature is 1 where it is. A word
that has no feature is none of the categories: all of its features are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from quickstudy.datasets.columns import EPOCH, Column
from quickstudy.errors import UserError
from quickstudy.terminal import say_once

MOST_CATEGORIES = 32
"""Features of one column: its most frequent words."""

CIRCLES = ("weekday sine", "weekday cosine", "day of year sine", "day of year cosine")

DAYS, YEAR = 7, 365.25
"""In a week, and in a year."""


@dataclass(frozen=True)
class EncodedColumn(Column):
    """A column as a run keeps it. `categories` are those that have a feature."""

    mean: float = 0.0
    """Of the training rows: what a missing number or date becomes."""
    marked: bool = False
    """Whether a feature says where it is missing."""

    @property
    def features(self) -> tuple[str, ...]:
        """The names of its features."""
        if self.kind == "category":
            return tuple(f"{self.name} = {word or 'blank'}" for word in self.categories)
        circles = tuple(f"{self.name}, {one}" for one in CIRCLES if self.kind == "date")
        return (self.name, *circles, *([f"{self.name} missing"] if self.marked else []))

    @property
    def flags(self) -> list[bool]:
        """Which of its features are 0 or 1."""
        count = len(self.features)
        if self.kind == "category":
            return [True] * count
        return [self.marked and i == count - 1 for i in range(count)]

    def __call__(self, found: Column, values: Float[np.ndarray, " n"]) -> np.ndarray:
        """The features (n, features) of the values of the same column in some file."""
        if self.kind == "category":
            place = {word: i for i, word in enumerate(self.categories)}
            code = np.asarray([place.get(word, -1) for word in found.categories], int)
            return (code[values.astype(int)][:, None] == np.arange(len(place))).astype(float)
        missing = np.isnan(values)
        features = [np.where(missing, self.mean, values)]
        if self.kind == "date":
            features += [np.where(missing, 0, circle) for circle in circles(features[0])]
        return np.stack([*features, *([missing] if self.marked else [])], axis=1).astype(float)


def circles(days: Float[np.ndarray, " n"]) -> list[Float[np.ndarray, " n"]]:
    """Sine and cosine of the weekday (Monday is at angle 0) and of the day of the year."""
    whole = np.floor(days).astype(int)
    date = np.datetime64(EPOCH, "D") + whole
    in_year = (date - date.astype("datetime64[Y]")).astype(int)
    weekday = (whole + EPOCH.weekday()) % DAYS
    angles = (2 * np.pi * weekday / DAYS, 2 * np.pi * in_year / YEAR)
    return [turn(angle) for angle in angles for turn in (np.sin, np.cos)]


@dataclass(frozen=True)
class Encoding:
    """How the columns of a table become features. All fields are plain JSON values.

    >>> encoding = Encoding.of("x.csv", columns, x)
    >>> encoding.features, encoding("x.csv", columns, x).tolist()
    (('size = large', 'size = small'), [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    """

    columns: tuple[EncodedColumn, ...]
    left_out: tuple[str, ...] = ()
    """Columns of the training rows that told nothing; files need not have them."""

    @staticmethod
    def of(where: str, columns: Sequence[Column], x: Float[np.ndarray, "n columns"]) -> Encoding:
        """Fit it to training rows, as `columns.typed` gives them. Says on standard error which
        columns are left out, and raises `UserError` where none is left."""
        kept, left_out = [], []
        for column, values in zip(columns, x.T, strict=True):
            if why := tells_nothing(column, values):
                say_once(f"{where}: column {column.name!r} is left out: {why}")
                left_out.append(column.name)
            else:
                kept.append(_fitted(column, values))
        if not kept:
            raise UserError(f"{where} has no column that tells rows apart: add columns of features")
        return Encoding(tuple(kept), tuple(left_out))

    @staticmethod
    def from_json(found: dict[str, Any] | None) -> Encoding | None:
        """The inverse of `dataclasses.asdict`; None for None."""
        if found is None:
            return None
        columns = [{**one, "categories": tuple(one["categories"])} for one in found["columns"]]
        return Encoding(tuple(EncodedColumn(**one) for one in columns), tuple(found["left_out"]))

    @property
    def features(self) -> tuple[str, ...]:
        """The names of all features."""
        return tuple(name for column in self.columns for name in column.features)

    @property
    def flags(self) -> Bool[np.ndarray, " features"]:
        """Which features are 0 or 1."""
        return np.asarray([flag for column in self.columns for flag in column.flags])

    def column(self, name: str) -> EncodedColumn | None:
        """The column of this name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)

    def __call__(
        self, where: str, columns: Sequence[Column], x: Float[np.ndarray, "n columns"]
    ) -> Float[np.ndarray, "n features"]:
        """The features of rows, whose columns are those of the training in the same order, as
        `typed` reads them. Says on standard error which words are none of the categories, and
        which columns have missing cells that had none in training."""
        parts = []
        for mine, found, values in zip(self.columns, columns, x.T, strict=True):
            new = [word for word in found.categories if word not in mine.categories]
            if new and mine.kind == "category" and not set(new) <= {""}:
                others = f" (and {len(new) - 1} more)" if len(new) > 1 else ""
                say_once(
                    f"{where}: column {mine.name!r} holds {max(new)!r}{others}, which is none of "
                    f"its {len(mine.categories)} categories in training: read as none of them"
                )
            if mine.kind != "category" and not mine.marked and np.isnan(values).any():
                say_once(
                    f"{where}: column {mine.name!r} has missing cells, and had none in training: "
                    "they are filled with the mean of the training"
                )
            parts.append(mine(found, values))
        return np.concatenate(parts, axis=1)


def only_numbers(
    where: str,
    columns: Sequence[Column],
    x: Float[np.ndarray, "n columns"],
    mean: Sequence[float] | None,
    learner: str,
) -> Float[np.ndarray, "n columns"]:
    """The columns of a table for a learner that keeps no encoding: `mean` where a number is
    missing, and a line that says so. Raises `UserError` for words and dates."""
    for column in columns:
        if column.kind != "number":
            raise UserError(
                f"{where}: column {column.name!r} is no column of numbers; {learner} was trained "
                "on numbers alone"
            )
    gaps = np.isnan(x)
    if mean is None or not gaps.any():
        return x
    empty = [column.name for i, column in enumerate(columns) if gaps[:, i].any()]
    say_once(f"{where}: missing cells in {', '.join(empty)} become the mean of the training")
    return np.where(gaps, np.resize(mean, x.shape[1]), x)


def _fitted(column: Column, values: Float[np.ndarray, " n"]) -> EncodedColumn:
    if column.kind == "category":
        code, count = np.unique(values.astype(int), return_counts=True)
        often = code[np.argsort(-count, kind="stable")][:MOST_CATEGORIES]
        words = tuple(column.categories[i] for i in sorted(often))
        return EncodedColumn(column.name, column.kind, words)
    missing = np.isnan(values)
    return EncodedColumn(
        column.name, column.kind, (), float(values[~missing].mean()), bool(missing.any())
    )


def tells_nothing(column: Column, values: Float[np.ndarray, " n"]) -> str:
    """Why a column tells nothing of rows, if it does not."""
    different = len(np.unique(values))
    if different <= 1:
        return "all of its cells are missing" if np.isnan(values).all() else "it has one value"
    if column.kind == "category" and different == len(values):
        return f"each of its {different} cells is another word, as of an identifier"
    return ""


def in_words(columns: Sequence[Column], x: Float[np.ndarray, "n columns"]) -> str:
    """What a table holds, in a line.

    >>> in_words([Column("age", "number"), Column("size", "category", ("l", "s"))], np.eye(2))
    '2 columns: 1 number, 1 category (size: 2)'
    """
    said = []
    for kind, one, many in KINDS:
        of_kind = [column for column in columns if column.kind == kind]
        if of_kind:
            said.append(f"{len(of_kind)} {one if len(of_kind) == 1 else many}")
        if of_kind and kind == "category":
            counts = [f"{column.name}: {len(column.categories)}" for column in of_kind]
            shown = ", ".join(counts[:MOST_SAID]) + (", …" if len(counts) > MOST_SAID else "")
            said[-1] += f" ({shown})"
    count, missing = len(columns), int(np.isnan(x).sum())
    filled = f"; {missing} missing {'cell' if missing == 1 else 'cells'} filled" if missing else ""
    return f"{count} {'column' if count == 1 else 'columns'}: {', '.join(said)}{filled}"


KINDS = (
    ("number", "number", "numbers"),
    ("category", "category", "categories"),
    ("date", "date", "dates"),
)
MOST_SAID = 8
"""Categories that a line counts the words of."""
