"""Options that are numbers, checked for their range."""

from __future__ import annotations

from typing import Any

from quickstudy.errors import UserError

LARGEST_COUNT = 2**31 - 1
"""Whole numbers on a device, such as the number of a step, have 32 bits."""
LARGEST_NUMBER = 3.4028234e38
"""The largest of the 32 bits that other numbers have."""


def at_least(settings: Any, **least: float) -> None:
    """Raise `UserError` unless each of these options is None, or a number that is no less than
    the one given here and that a device can hold.

    >>> at_least(TrainingSettings(steps=-1), steps=0)
    Traceback (most recent call last):
    quickstudy.errors.UserError: --steps -1: it must be at least 0
    """
    for name, smallest in least.items():
        value = getattr(settings, name)
        require_number(name, value, value is None or value >= smallest, f"at least {smallest}")


def above(settings: Any, **bounds: float) -> None:
    """Raise `UserError` unless each of these options is None, or a number above the one given here
    that a device can hold.

    >>> above(TrainingSettings(learning_rate=math.nan), learning_rate=0)
    Traceback (most recent call last):
    quickstudy.errors.UserError: --learning-rate nan: it must be above 0
    """
    for name, bound in bounds.items():
        value = getattr(settings, name)
        require_number(name, value, value is None or value > bound, f"above {bound}")


def require_number(name: str, value: float | None, in_range: bool, range_: str) -> None:
    """Raise `UserError` where the value of an option is not in its range, or is too large for a
    device."""
    must = f"--{name.replace('_', '-')} {value}: it must be"
    if not in_range:
        raise UserError(f"{must} {range_}")
    if isinstance(value, int) and value > LARGEST_COUNT:
        raise UserError(f"{must} at most {LARGEST_COUNT}")
    if isinstance(value, float) and not value <= LARGEST_NUMBER:
        raise UserError(f"{must} a finite number of 32 bits")


def widths_at_least_1(settings: Any, *names: str) -> None:
    """Raise `UserError` unless each number in these options is at least 1, and one that a device
    can hold."""
    for name in names:
        for width in getattr(settings, name):
            require_number(name, width, width >= 1, "at least 1")


MOST_LAYERS = 1000
"""Of a network. Each is an object of its own, so that many more would fill the memory."""


def layers_at_most(settings: Any, *names: str) -> None:
    """Raise `UserError` unless each of these numbers of layers is at most `MOST_LAYERS`."""
    for name in names:
        value = getattr(settings, name)
        if value > MOST_LAYERS:
            flag = "--" + name.replace("_", "-")
            raise UserError(f"{flag} {value}: it must be at most {MOST_LAYERS}")
