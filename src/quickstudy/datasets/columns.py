"""What the columns of a table hold: numbers, dates or categories.

The kind of a column follows from its cells:

    number      every cell is a finite number
    date        every cell is a date that can be read in one way: 2024-03-05, 2024/3/5, 5.3.2024,
                5 March 2024, Mar 5, 2024; with a time of day after the first form
    category    words

A blank cell, or one of `MISSING_WORDS`, is a missing number or date. In a category a blank cell is
a category of its own, and `none` and `NA` are words like others.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from quickstudy.datasets.labels import MISSING_WORDS, is_missing, normalised
from quickstudy.errors import UserError

Kind = Literal["number", "date", "category"]
NOUNS = {"number": "finite number", "date": "date"}
LARGEST = float(np.finfo(np.float32).max)

EPOCH = datetime(2000, 1, 1)
"""Dates are days since then."""

ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)? ?(Z|[+-]\d\d:?\d\d)?)?")
FORMS = ("%Y/%m/%d", "%d.%m.%Y", "%d %B %Y", "%d %b %Y", "%d-%b-%Y", "%B %d, %Y", "%b %d, %Y")
TWO_WAYS = re.compile(r"\d{1,2}[/-]\d{1,2}[/-](\d\d|\d{4})|\d{1,2}\.\d{1,2}\.\d\d")
"""Dates of which nothing says where the day is, or the century."""
SEPARATED = re.compile(
    r"[+-]?\d{1,3}([,' _]\d{3})+([.,]\d+)?|[+-]?\d{1,3}(\.\d{3})+,\d+|[+-]?\d+,\d+"
)
"""Numbers with a separator of thousands, or with a comma in the place of the point."""


@dataclass(frozen=True)
class Column:
    """A column of a table, as a file has it."""

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    """The words of a category, sorted; "" where cells are blank."""


def in_order(
    what: str, found: Sequence[str], wanted: Sequence[str], learner: str = "the learner"
) -> list[int]:
    """Where each of the columns that a learner wants is among those found. Raises `UserError` where
    they are not the same columns.

    >>> in_order("x.csv", ["b", "a"], ["a", "b"])
    [1, 0]
    """
    missing = [column for column in wanted if column not in found]
    others = [column for column in found if column not in wanted]
    if missing or others:
        said = [f"no {', '.join(missing)}"] if missing else []
        said += [f"also {', '.join(others)}"] if others else []
        raise UserError(
            f"{what} has the features {', '.join(found)} ({'; '.join(said)}); {learner} takes "
            f"{', '.join(wanted)}"
        )
    return [list(found).index(column) for column in wanted]


def typed(
    where: str, name: str, cells: Sequence, rows: Sequence[int], like: Column | None = None
) -> tuple[Column, Float[np.ndarray, " n"]]:
    """Read the cells of a column as one number each: numbers as they are; dates as days since
    `EPOCH`; of categories, the place of the word among the column's `categories`. NaN is a missing
    number or date.

    `where` names the file and `rows` its rows, for messages. The kind is that of the column `like`,
    where there is one.

    Raises `UserError` naming row and column: cells that are neither all numbers nor mostly words;
    dates and numbers that can be read in two ways; another kind than in `like`.

    >>> typed("x.csv", "size", ["small", "large", "small"], [2, 3, 4])
    (Column(name='size', kind='category', categories=('large', 'small')), array([1., 0., 1.]))
    """
    kind = _kind(where, name, cells, rows) if like is None else like.kind
    if kind == "category":
        words = [_word(where, name, cell, row) for cell, row in zip(cells, rows, strict=True)]
        if like is not None and words and not set(words) & set(like.categories):
            _refuse_other_kind(where, name, cells)
        categories, codes = np.unique(np.asarray(words, dtype=object), return_inverse=True)
        return Column(name, kind, tuple(categories)), codes.astype(float)
    read = _number if kind == "number" else _day
    if kind == "number" and (numbers := _plain(cells)) is not None:
        return Column(name, kind), numbers
    values = np.full(len(cells), np.nan)
    for i, (cell, row) in enumerate(zip(cells, rows, strict=True)):
        if _is_blank(cell):
            continue
        if (value := read(cell)) is None:
            _refuse_two_ways(where, name, kind, [(cell, row)])
            raise UserError(
                f"{where}, row {row}, column {name!r}: {cell!r} is not a "
                f"{NOUNS[kind]}{', as in training' if like else ''}: put one there, or leave the "
                "cell blank where it is missing"
            )
        values[i] = value
    return Column(name, kind), values


def numbers(where: str, name: str, cells: Sequence, rows: Sequence[int]) -> Float[np.ndarray, " n"]:
    """Read the cells of a column of which none may be missing, such as targets. Raises `UserError`
    naming row and column where one is no finite number.

    >>> numbers("x.csv", "sales", ["310", 95.5], [2, 3])
    array([310. ,  95.5])
    """
    if (found := _plain(cells)) is not None:
        return found
    cell, row = next(c for c in zip(cells, rows, strict=True) if _number(c[0]) is None)
    raise UserError(
        f"{where}, row {row}, column {name!r}: {cell!r} is not a finite number: "
        "put one there, or leave out the row or the column"
    )


def _kind(where: str, name: str, cells: Sequence, rows: Sequence[int]) -> Kind:
    """What all cells of a column are. Raises `UserError` where this is not clear."""
    if _plain(cells) is not None:
        return "number"
    there = [(cell, row) for cell, row in zip(cells, rows, strict=True) if not _is_blank(cell)]
    readers: tuple[tuple[Kind, Callable], ...] = (("number", _number), ("date", _day))
    for kind, read in readers:
        others = [(cell, row) for cell, row in there if read(cell) is None]
        if not others:
            return kind
        cell, row = others[0]
        place = f"{where}, row {row}, column {name!r}: {cell!r}"
        _refuse_two_ways(where, name, kind, others)
        if 2 * len(others) <= len(there):
            raise UserError(
                f"{place} is not a {NOUNS[kind]}, as others are: put one there, or leave the "
                "cell blank where it is missing; for categories, write a letter before each"
            )
    return "category"


def _refuse_two_ways(where: str, name: str, kind: Kind, others: list[tuple[Any, int]]) -> None:
    """Raise `UserError` where all cells that are not of this kind could be, in more ways than
    one."""
    pattern = SEPARATED if kind == "number" else TWO_WAYS
    if not all(isinstance(cell, str) and pattern.fullmatch(cell.strip()) for cell, _ in others):
        return
    (cell, row), *_ = others
    write = (
        "numbers without separators of thousands, and with a decimal point"
        if kind == "number"
        else "dates as 2024-03-05"
    )
    raise UserError(
        f"{where}, row {row}, column {name!r}: {cell!r} may be read in two ways: write {write}"
    )


def _refuse_other_kind(where: str, name: str, cells: Sequence) -> None:
    """Raise `UserError` where a column of words now holds numbers or dates alone."""
    there = [cell for cell in cells if not _is_blank(cell)]
    for read, kind in ((_number, "numbers"), (_day, "dates")):
        if there and all(read(cell) is not None for cell in there):
            raise UserError(
                f"{where}: column {name!r} holds {kind} ({there[0]}), but words in training: give "
                "it the same column"
            )


def _plain(cells: Sequence) -> Float[np.ndarray, " n"] | None:
    """The cells of a column of numbers of which none is missing; None for any other."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "biuf":
        numbers = cells.astype(float)
    else:
        read = [_number(cell) for cell in cells]
        if any(number is None for number in read):
            return None
        numbers = np.asarray(read, dtype=float)
    return numbers if (np.abs(numbers) <= LARGEST).all() else None


def _is_blank(cell: Any) -> bool:
    """Whether it is a missing number or date."""
    return is_missing(cell) or (isinstance(cell, str) and cell.strip().lower() in MISSING_WORDS)


def _number(cell: Any) -> float | None:
    """The finite number that a cell is, if it is one."""
    if (isinstance(cell, str) and "_" in cell) or isinstance(cell, bytes | np.datetime64):
        return None
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= LARGEST else None


def _day(cell: Any) -> float | None:
    """The days from `EPOCH` to the date that a cell is, if it is one."""
    if isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[us]").item()
    if isinstance(cell, str):
        return _day_of_text(cell.strip())
    if isinstance(cell, date) and not isinstance(cell, datetime):
        cell = datetime(cell.year, cell.month, cell.day)
    return _days(cell) if isinstance(cell, datetime) else None


def _days(found: datetime) -> float:
    if found.tzinfo is not None:
        found = found.astimezone(UTC).replace(tzinfo=None)
    return (found - EPOCH) / timedelta(days=1)


@lru_cache(maxsize=1 << 16)
def _day_of_text(text: str) -> float | None:
    if not 8 <= len(text) <= 40 or not any(c.isdigit() for c in text):
        return None
    try:
        if ISO.fullmatch(text):
            return _days(datetime.fromisoformat(text.replace(" Z", "Z")))
    except (ValueError, OverflowError):
        return None
    for form in FORMS:
        try:
            return _days(datetime.strptime(text, form))
        except ValueError:
            continue
    return None


def _word(where: str, name: str, cell: Any, row: int) -> str:
    """The one spelling of a category."""
    if is_missing(cell):
        return ""
    if not isinstance(cell, str | bool | int | float | np.generic | date):
        raise UserError(
            f"{where}, row {row}, column {name!r}: {cell!r} is not a finite number, a date or a "
            "word: put one there, or leave out the column"
        )
    return normalised(cell)
