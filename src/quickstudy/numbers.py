"""Which numbers an option may have."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable
from typing import Any

from quickstudy.errors import UserError

LARGEST_COUNT = 2**31 - 1
"""Whole numbers on a device, such as the number of a step, have 32 bits."""
LARGEST_NUMBER = 3.4028234e38
"""The largest of the 32 bits that other numbers have."""
FALSE_ALARMS = 0.05
"""The share of known inputs that may be called unknown, where nothing is said."""
MOST_LAYERS = 1000
"""Of a network. Each is an object of its own, so that many more would fill the memory."""


def at_least(settings: Any, **least: float) -> None:
    """Raise `UserError` unless each of these options is None, or a number (or several numbers) no
    less than the bound given here that a device can hold.

    >>> at_least(TrainingSettings(steps=-1), steps=0)
    Traceback (most recent call last):
    quickstudy.errors.UserError: --steps -1: it must be at least 0
    """
    _compare(settings, least, operator.ge, "at least")


def at_most(settings: Any, **most: float) -> None:
    """Raise `UserError` unless each of these options is None, or a number (or several numbers) no
    greater than the bound given here.

    >>> at_most(LSTMOptimizerSettings(layers=2000), layers=1000)
    Traceback (most recent call last):
    quickstudy.errors.UserError: --layers 2000: it must be at most 1000
    """
    _compare(settings, most, operator.le, "at most")


def above(settings: Any, **bounds: float) -> None:
    """Raise `UserError` unless each of these options is None, or a number (or several numbers)
    above the bound given here that a device can hold.

    >>> above(TrainingSettings(learning_rate=math.nan), learning_rate=0)
    Traceback (most recent call last):
    quickstudy.errors.UserError: --learning-rate nan: it must be above 0
    """
    _compare(settings, bounds, operator.gt, "above")


def require_rate(false_alarms: float) -> None:
    """Raise `UserError` unless the option --false-alarms is a share between 0 and 1."""
    if not 0 < false_alarms < 1:
        raise UserError(f"--false-alarms {false_alarms}: it is a share, between 0 and 1")


def require_numbers(options: Any) -> None:
    """Raise `UserError` where an option, or one of several values of an option, is not a number
    (NaN), or is a whole number that a device cannot hold: for options without bounds."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            require_numbers(value)
        for number in _several(value):
            if isinstance(number, float) and math.isnan(number):
                raise UserError(f"{_flag(field.name)} {number}: it must be a number")
            if isinstance(number, int) and abs(number) > LARGEST_COUNT:
                range_ = f"between {-LARGEST_COUNT} and {LARGEST_COUNT}"
                raise UserError(f"{_flag(field.name)} {number}: it must be {range_}")


def _compare(
    settings: Any, bounds: dict[str, float], holds: Callable[[Any, Any], bool], words: str
) -> None:
    for name, bound in bounds.items():
        for value in _several(getattr(settings, name)):
            must = f"{_flag(name)} {value}: it must be"
            if not holds(value, bound):
                raise UserError(f"{must} {words} {bound}")
            if isinstance(value, int) and value > LARGEST_COUNT:
                raise UserError(f"{must} at most {LARGEST_COUNT}")
            if isinstance(value, float) and not value <= LARGEST_NUMBER:
                raise UserError(f"{must} a finite number of 32 bits")


def _several(value: Any) -> tuple[Any, ...]:
    """The values of an option: none, one or several."""
    return () if value is None else value if isinstance(value, tuple) else (value,)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
