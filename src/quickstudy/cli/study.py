"""quickstudy study NAME: put a question to trained learners, and draw the answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import read

if TYPE_CHECKING:
    from quickstudy.experiments.diagrams import Panel


@dataclass(frozen=True)
class StudyOptions:
    """Train what a study needs, measure it, and write results/studies/NAME.json and a picture. The
    same command goes on where it was stopped."""

    name: tyro.conf.Positional[str]
    """See quickstudy list."""
    budget: Literal["cpu", "full"] = "cpu"
    """full: the published protocols. cpu: less training, for two cores within hours."""
    runs: Path = Path("runs/reproduce")
    """Where trainings are kept; those of quickstudy reproduce are used again."""
    results: Path = Path("results/studies")
    """Where the figures are written."""
    picture: Path | None = None
    """Where the picture is drawn; by default beside the figures."""


MOST_COLUMNS = 5
MOST_ROWS = 25
FEW = 3


def shown(values: list[str]) -> list[str]:
    """All of them, or a few evenly chosen ones of many, the first and the last among them."""
    if len(values) <= MOST_ROWS:
        return values
    return [values[i * (len(values) - 1) // (FEW - 1)] for i in range(FEW)]


def table_of(panel: Panel) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: a column for each line, or, where there are many, a row."""
    values = shown(list(dict.fromkeys(x for line in panel.lines.values() for x in line)))
    cells = {
        name: [show.amount(line[x], panel.y) if x in line else "" for x in values]
        for name, line in panel.lines.items()
    }
    if len(cells) <= MOST_COLUMNS:
        rows = [[x, *(column[i] for column in cells.values())] for i, x in enumerate(values)]
        return [panel.x, *cells], rows
    return [panel.x, *values], [[name, *row] for name, row in cells.items()]


def run(words: list[str]) -> int:
    """The command."""
    options = read(StudyOptions, words, "quickstudy study")

    from quickstudy.cli.main import complain
    from quickstudy.devices import join
    from quickstudy.experiments.diagrams import Panel
    from quickstudy.experiments.studies.registry import study
    from quickstudy.experiments.studies.study import conduct
    from quickstudy.files import write_atomically
    from quickstudy.report.figures import diagrams, require_picture
    from quickstudy.training import TrainingStopped

    asked = study(options.name)
    picture = options.picture or options.results / f"{options.name}.png"
    require_picture(picture, *([] if options.picture else [b"\x89PNG"]))  # its own place
    join()
    try:
        panels = conduct(options.name, asked, options.budget, options.runs, options.results)
    except TrainingStopped as stopped:
        return complain(str(stopped), status=128 + stopped.signum)
    for panel in panels:
        if not isinstance(panel, Panel):
            continue
        columns, rows = table_of(panel)
        show.table(f"{panel.title}: {show.unit(panel.y)}", columns, rows, figures=True)
    show.line(f"protocol: {asked.protocol}")
    write_atomically(picture, diagrams(panels))
    show.line(f"written: {picture}")
    return 0
