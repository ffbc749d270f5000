"""Tables on the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from quickstudy import files
from quickstudy.settings.run import PRINTED_PRESENTATIONS
from quickstudy.terminal import printable

if TYPE_CHECKING:
    from quickstudy.estimate import Estimate
    from quickstudy.evaluation import Result
    from quickstudy.runs.by_example import OfClass

LEAST_WORDS = 16
"""The narrowest column of words, in characters. Where a terminal has no room for all columns, the
table is wider than the terminal: no figure is cut."""
BESIDE = 3
"""Characters that each column takes besides its words …"""
EDGE = 1
"""… and the table besides its columns."""


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, figures: bool = False
) -> None:
    """Print a table on standard output: words to the left, folded where they are too long; with
    `figures`, all columns but the first to the right, each figure whole."""
    made = Table(box=box.SIMPLE_HEAD)
    cells = [[Text(printable(cell)) for cell in row] for row in (columns, *rows)]
    least = EDGE
    for i, column in enumerate(zip(*cells, strict=True)):
        right = figures and i > 0
        least += BESIDE + (max(cell.cell_len for cell in column) if right else LEAST_WORDS)
        made.add_column(
            column[0], justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for row in cells[1:]:
        made.add_row(*row)
    console = Console()
    console.print(Text(printable(title), "bold"), soft_wrap=True)
    console.width = max(console.width, least)
    console.print(made)


def line(text: str) -> None:
    """Print one line on standard output."""
    print(printable(text))


DIGITS = 6
"""Of a figure in JSON: float32 has no more."""


def as_json(found: Any) -> None:
    """Print JSON on standard output, its figures with as many digits as mean something."""
    print(files.as_json(rounded(found), indent=2))


def rounded(found: Any) -> Any:
    """Plain values with the digits of their figures that mean something."""
    if isinstance(found, dict):
        return {name: rounded(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [rounded(value) for value in found]
    return float(f"{found:.{DIGITS}g}") if isinstance(found, float) else found


def first_sentence(thing: object) -> str:
    """The first sentence of a docstring, over as many lines as it takes."""
    text = " ".join((thing.__doc__ or "").split())
    found = re.match(r".*?[.?](?= [A-Z`]|$)", text)
    return found[0] if found else text


def amount(estimate: Estimate, metric: str) -> str:
    """A figure with its interval: accuracies in percent, losses in so many digits."""
    if metric == "accuracy":
        return estimate.percent()
    return estimate.compact() if "loss" in metric else estimate.plain()


def unit(metric: str) -> str:
    """A metric's name as a column's head."""
    return "accuracy, %" if metric == "accuracy" else metric


RESULT_COLUMNS: tuple[str, ...] = ("learner", "figure", "nll", "ECE", "batch norm")


def result_row(name: str, result: Result) -> list[str]:
    """One learner's figures, under `RESULT_COLUMNS`. ECE is the expected calibration error."""
    return [
        name,
        amount(result.estimate(), result.headline),
        "" if result.headline == "nll" else f"{result.estimate('nll').mean:.3f}",
        "" if result.calibration_error is None else f"{result.calibration_error:.3f}",
        str(result.protocol["batch norm"]).partition("(")[2].rstrip(")") or "none",
    ]


def presentations(results: Sequence[tuple[str, Result]]) -> None:
    """Of sequences, a table of how many are right of the examples that are of their class the
    first, the second …"""
    shown = [f"accuracy@{k}" for k in PRINTED_PRESENTATIONS]
    if not all(shown[0] in result.metrics for _, result in results):
        return
    rows = [
        [name, *(result.estimate(metric).percent() for metric in shown)] for name, result in results
    ]
    columns = ["learner", *(ordinal(k) for k in PRINTED_PRESENTATIONS)]
    table("accuracy by presentation, %", columns, rows, figures=True)


def open_set(results: Sequence[tuple[str, Result]]) -> None:
    """Of episodes with queries of other classes, a table of how well these are told."""
    if not all("auroc" in result.metrics for _, result in results):
        return
    rows = [
        [name, *(result.estimate(m).percent() for m in ("auroc", "false alarms", "misses"))]
        for name, result in results
    ]
    columns = ["learner", "AUROC, %", "false alarms, %", "misses, %"]
    table("known and unknown classes", columns, rows, figures=True)


def balanced(results: Sequence[tuple[str, Result]]) -> None:
    """Of classes of unequal size, the mean over classes of the accuracy on each, in a line each."""
    for name, result in results:
        if (metric := "balanced accuracy") in result.metrics:
            line(f"{name}: {metric} (mean over classes) {result.estimate(metric).percent()} %")


HARDEST = 5


def hardest_classes(name: str, classes: Sequence[OfClass]) -> None:
    """The classes with the lowest accuracy, and what each is most often taken for; nothing where
    no query was wrong."""
    wrong = sorted((of for of in classes if of.taken_for is not None), key=lambda of: of.accuracy)
    if not wrong:
        return
    rows = [
        [of.name, str(of.queries), f"{100 * of.accuracy:.1f}", f"{of.taken_for} ({of.times})"]
        for of in wrong[:HARDEST]
    ]
    title = f"the hardest of {len(classes)} classes{f' for {name}' if name else ''}"
    columns = ["class", "queries", "accuracy, %", "most often taken for"]
    table(title, columns, rows, figures=True)


def ordinal(k: int) -> str:
    """1st, 2nd, 3rd, 4th … up to 10th."""
    return f"{k}" + {1: "st", 2: "nd", 3: "rd"}.get(k, "th")


def intervals(covers: Mapping[str, str], sign: str = "±") -> None:
    """What the 95 % intervals of a table cover, by the names of its rows: a line for each kind."""
    for words in dict.fromkeys(covers.values()):
        names = [name for name, own in covers.items() if own == words]
        whose = "" if len(names) == len(covers) else f" of {', '.join(names)}"
        line(f"{sign}{whose}: 95 % interval {words}")


def deviation(result: Result) -> None:
    """Of several trainings, their standard deviation, in one line."""
    if not result.each:
        return
    factor, digits = (100, 2) if result.headline == "accuracy" else (1, 3)
    found = factor * result.by_training().std(ddof=1)
    line(f"standard deviation over {len(result.each)} trainings: {found:.{digits}f}")


def root_error(result: Result) -> None:
    """Of targets in units of the user's, the root of a task's mean squared error, in one line."""
    if "rmse" in result.metrics:
        line(f"rmse, in units of the target: {result.estimate('rmse').compact()}")


def protocol(words: Mapping[str, Any]) -> None:
    """The protocol beside a result, in one paragraph."""
    line("protocol: " + ", ".join(f"{k} {v}" for k, v in words.items()))
