"""From the words of a command line to the options of a command."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Sequence
from typing import TypeVar

import tyro

from quickstudy.numbers import require_numbers

Options = TypeVar("Options")


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
