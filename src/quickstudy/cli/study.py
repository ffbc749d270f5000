"""quickstudy study NAME: put a question to trained learners, and draw the answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from quickstudy.cli import show


@dataclass(frozen=True)
class StudyOptions:
    """Train what a study needs, measure it, and write results/studies/NAME.json and a picture. The
    same command goes on where it was stopped."""

    name: tyro.conf.Positional[str]
    """feature-reuse, gates or robustness."""
    budget: Literal["cpu", "full"] = "cpu"
    """full: the published protocols. cpu: less training, for two cores within hours."""
    runs: Path = Path("runs/reproduce")
    """Where trainings are kept; those of quickstudy reproduce are used again."""
    results: Path = Path("results/studies")
    """Where the figures are written."""
    picture: Path | None = None
    """Where the picture is drawn; by default beside the figures."""


def run(words: list[str]) -> int:
    """The command."""
    options = tyro.cli(StudyOptions, args=words, prog="quickstudy study")

    from quickstudy.checkpoint import write_atomically
    from quickstudy.cli.main import complain
    from quickstudy.devices import join
    from quickstudy.recipes.studies.registry import study
    from quickstudy.recipes.studies.study import conduct
    from quickstudy.report.figures import diagrams
    from quickstudy.training import TrainingStopped

    asked = study(options.name)
    join()
    try:
        panels = conduct(options.name, asked, options.budget, options.runs, options.results)
    except TrainingStopped as stopped:
        return complain(str(stopped), status=128 + stopped.signum)
    for panel in panels:
        columns = [panel.x, *panel.lines]
        values = dict.fromkeys(x for line in panel.lines.values() for x in line)
        lines = panel.lines.values()
        rows = [
            [x, *(show.amount(line[x], panel.y) if x in line else "" for line in lines)]
            for x in values
        ]
        show.table(f"{panel.title}: {show.unit(panel.y)}", columns, rows, figures=True)
    show.line(f"protocol: {asked.protocol}")
    picture = options.picture or options.results / f"{options.name}.png"
    write_atomically(picture, diagrams(panels))
    show.line(f"written: {picture}")
    return 0
