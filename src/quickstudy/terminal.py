"""Text for the terminal. Names, paths and messages may hold any character: they are shown as they
are, and none of them takes effect."""

import contextlib
import functools
import re
import sys
from collections.abc import Iterator
from contextvars import ContextVar

TAKES_EFFECT = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: a terminal obeys \x1b[2J, and begins a line at \n
    "\u2028\u2029\u202a-\u202e\u2066-\u2069"  # line separators; other directions of writing
    "\ud800-\udfff]"  # bytes of a file name that are no text: no stream can encode them
)


def printable(text: str) -> str:
    r"""Replace each character that a terminal would obey by its escape.

    >>> printable("a\x1b[2J\nb")
    'a\\x1b[2J\\nb'
    """
    return TAKES_EFFECT.sub(lambda found: ascii(found[0])[1:-1], text)


_COLLECTED: ContextVar[list[str] | None] = ContextVar("warnings", default=None)


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Collect the lines of `warn` in a list, where there is someone else to tell than the terminal.

    >>> with collected() as warnings:
    ...     warn("of 3 words, 1 is unknown")
    >>> warnings
    ['of 3 words, 1 is unknown']
    """
    lines: list[str] = []
    before = _COLLECTED.set(lines)
    try:
        yield lines
    finally:
        _COLLECTED.reset(before)


def warn(message: str) -> None:
    """Print one line on standard error."""
    line = re.sub(r"\s*\n\s*", " ", message.strip())
    if (lines := _COLLECTED.get()) is not None:
        lines.append(line)
        return
    print(f"quickstudy: {printable(line)}", file=sys.stderr, flush=True)


_warn_once = functools.cache(warn)


def say_once(message: str) -> None:
    """`warn`, but on the terminal each message only once in a command: data are read for several
    runs and seeds. Who collects messages is told each time."""
    (_warn_once if _COLLECTED.get() is None else warn)(message)


def forget_said() -> None:
    """Let `say_once` say everything again: another command begins."""
    _warn_once.cache_clear()
