"""Progress with the time to go: a live bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from quickstudy.terminal import printable

SECONDS_BETWEEN_LINES = 15.0


class Reporter:
    """Told how far the work has come; this one keeps it to itself. See `progress`."""

    def at(self, done: int, note: str = "") -> None:
        """`done` units of the total are behind us; `note` is shown beside, say the loss."""


class Lines(Reporter):
    """A line on standard error now and then: for logs."""

    def __init__(self, title: str, total: int):
        self.title, self.total = title, total
        self.first: tuple[int, float] | None = None
        self.last = time.monotonic()

    def at(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        if self.first is None:  # what comes before the first call is mostly compiling
            self.first = (done, now)
        if now - self.last < SECONDS_BETWEEN_LINES and done < self.total:
            return
        self.last = now
        start, since = self.first
        left = (self.total - done) * (now - since) / max(done - start, 1)
        words = printable(f"{self.title}: {done}/{self.total}  {note}".rstrip())
        print(f"{words}  {left:.0f} s to go", file=sys.stderr, flush=True)


class Bar(Reporter):
    """A live bar: for people."""

    def __init__(self, bar: Progress, title: str, total: int, done: int):
        self.bar, self.title = bar, title
        self.task = bar.add_task(printable(title), total=total, completed=done)

    def at(self, done: int, note: str = "") -> None:
        words = printable(f"{self.title}  {note}".rstrip())
        self.bar.update(self.task, completed=done, description=words)


@contextmanager
def progress(title: str, total: int, *, done: int = 0, show: bool = True) -> Iterator[Reporter]:
    """Show how far a piece of work of `total` units has come, on standard error.

    >>> with progress("evaluating", 1000) as reporter:
    ...     reporter.at(50, "accuracy 0.981")
    """
    console = Console(stderr=True)
    if not show:
        yield Reporter()
    elif not console.is_terminal:
        yield Lines(title, total)
    else:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("to go"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            yield Bar(bar, title, total, done)
