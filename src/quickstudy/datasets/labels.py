"""The labels of examples: none is missing, and one class has one spelling."""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from quickstudy.errors import UserError
from quickstudy.terminal import warn

MISSING_WORDS = ("nan", "none", "null", "na", "n/a", "<na>", "nat")
"""What programs write, in any case, where a label is missing; it may be the name of a class too."""

WHOLE = re.compile(r"([+-]?\d+)\.0*")


def is_missing(label: Any) -> bool:
    """Whether it is None, NaN, pandas' NA or NaT, or a blank string."""
    if label is None or type(label).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(label, str):
        return not label.strip()
    return isinstance(label, float | np.floating) and math.isnan(label)


def first_missing(labels: Iterable[Any]) -> int | None:
    """The place of the first label that is missing; None where none is."""
    return next((i for i, label in enumerate(labels) if is_missing(label)), None)


def normalised(label: Any) -> str:
    """The one spelling of a label: no white space around it and single spaces within, composed
    letters (Unicode's NFC), and whole numbers without a decimal point.

    >>> normalised(" red  kite"), normalised("3.0"), normalised(3.0), normalised("03")
    ('red kite', '3', '3', '03')
    """
    text = " ".join(unicodedata.normalize("NFC", str(label)).split())
    whole = WHOLE.fullmatch(text)
    return whole[1] if whole else text


def class_names(where: str, labels: Sequence[Any], rows: Sequence[int]) -> list[str]:
    """The name of the class of each example. `rows` are their numbers in the file, and `where` is
    its name, for messages.

    Raises `UserError` naming the row where a label is missing or holds a NUL. Says on standard
    error which spellings became one, and which class may stand for missing labels.
    """
    missing = first_missing(labels)
    if missing is not None:
        found = labels[missing]
        found = repr(found) if isinstance(found, str) else found
        raise UserError(
            f"{where}, row {rows[missing]}: no label ({found}); put one there, or leave out the row"
        )
    spelt: dict[str, dict[str, int]] = {}
    names = []
    for row, label in zip(rows, labels, strict=True):
        name = normalised(label)
        if "\0" in name:
            raise UserError(f"{where}, row {row}: the label {label!r} holds a NUL: take it away")
        names.append(name)
        spelt.setdefault(name, {}).setdefault(str(label), row)
    for name, spellings in spelt.items():
        if len(spellings) > 1:
            (one, first), (other, second), *_ = spellings.items()
            warn(
                f"{where}: the labels {one!r} (row {first}) and {other!r} (row {second}) are taken "
                f"for one class, {name!r}"
            )
        if name.lower() in MISSING_WORDS:
            warn(
                f"{where}: there is a class called {name!r} (row {next(iter(spellings.values()))}):"
                " if labels are missing there, leave these rows out"
            )
    return names
