"""Progress with the time to go: a live bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 15.0


class Reporter:
    """Told how far the work has come; see `progress`."""

    def __init__(self, title: str, total: int, done: int, bar: Progress | None):
        self.title, self.total, self.bar = title, total, bar
        self.first = done
        self.started: float | None = None
        self.last_line = time.monotonic()
        self.task = None if bar is None else bar.add_task(title, total=total, completed=done)

    def at(self, done: int, note: str = "") -> None:
        """`done` units of the total are behind us; `note` is shown beside, say the loss."""
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=done, description=f"{self.title}  {note}".strip())
            return
        now = time.monotonic()
        if self.started is None:  # the first call's time was the compiler's
            self.first, self.started = done, now
        if done > self.first and (
            now - self.last_line >= SECONDS_BETWEEN_LINES or done == self.total
        ):
            self.last_line = now
            left = (self.total - done) * (now - self.started) / (done - self.first)
            print(
                f"{self.title}: {done}/{self.total}  {note}  {left:.0f} s to go",
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def progress(title: str, total: int, *, done: int = 0, show: bool = True) -> Iterator[Reporter]:
    """Show how far a piece of work of `total` units has come, on standard error.

    >>> with progress("evaluating", 1000) as reporter:
    ...     reporter.at(50, "accuracy 0.981")
    """
    console = Console(stderr=True)
    if not (show and console.is_terminal):
        reporter = Reporter(title, total, done, None)
        if not show:
            reporter.last_line = float("inf")
            reporter.first = total
        yield reporter
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("to go"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield Reporter(title, total, done, bar)
