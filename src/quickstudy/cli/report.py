"""quickstudy report RUN: a page about a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import read


@dataclass(frozen=True)
class Report:
    """One self-contained HTML page: protocol, learning curves, an episode with its predictions,
    calibration, the embedding, what gets confused."""

    run: tyro.conf.Positional[Path]
    """The folder of a finished run, or of several seeds."""
    out: Path | None = None
    """The page to write; by default report.html in the run's folder."""


def run(words: list[str]) -> int:
    """The command."""
    options = read(Report, words, "quickstudy report")

    from quickstudy.report.collect import write

    show.line(f"written: {write(options.run, options.out)}")
    return 0
