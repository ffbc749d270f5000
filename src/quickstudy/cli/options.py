"""From the words of a command line to the options of a command."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import math
import textwrap
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from quickstudy.errors import UserError

Options = TypeVar("Options")

LARGEST = 2**31 - 1
"""Whole numbers on a device have 32 bits."""


def read(
    kind: type[Options], words: Sequence[str], prog: str, description: str | None = None
) -> Options:
    """Read the options of a command, the dataclass `kind`. Words that are none of them end the
    program, with tyro's message.

    Raises `UserError` for a number that no option can have.
    """
    options = tyro.cli(kind, args=words, prog=prog, description=description)
    require_numbers(options)
    return options


def require_numbers(options: Any) -> None:
    """Raise `UserError` where an option, or one of an option's several values, is no number (NaN)
    or a whole number that a device cannot hold."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            require_numbers(value)
            continue
        flag = "--" + field.name.replace("_", "-")
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, float) and math.isnan(one):
                raise UserError(f"{flag} {one}: it must be a number")
            if isinstance(one, int) and abs(one) > LARGEST:
                raise UserError(f"{flag} {one}: it must be between {-LARGEST} and {LARGEST}")


def described_options(kind: type) -> dict[str, str]:
    """The words below each field of a dataclass and of those that it derives from: what `--help`
    says of the option."""
    words: dict[str, str] = {}
    for one in reversed(kind.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in itertools.pairwise(body.body):
            match field, below:
                case ast.AnnAssign(ast.Name(name)), ast.Expr(ast.Constant(text)):
                    words[name] = " ".join(str(text).split())
    return words
