"""quickstudy tables: docs/results.md from the measured rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quickstudy.cli import show
from quickstudy.cli.options import read


@dataclass(frozen=True)
class Tables:
    """Render the measured rows as a page of tables."""

    results: Path = Path("results")
    """Where the measured rows are."""
    out: Path = Path("docs/results.md")
    """The page to write."""


def run(words: list[str]) -> int:
    """The command."""
    options = read(Tables, words, "quickstudy tables")

    from quickstudy.experiments.results_page import table
    from quickstudy.files import require_ours, write_atomically

    require_ours(options.out, b"Written by `quickstudy tables`", "a page", "--out")
    write_atomically(options.out, table(options.results).encode())
    show.line(f"written: {options.out}")
    return 0
