"""quickstudy adapt RUN --support FOLDER --out FILE: learn new classes from a few examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import read


@dataclass(frozen=True)
class Adapt:
    """Give a trained learner a few examples of each of your classes; no training."""

    run: tyro.conf.Positional[Path]
    """The folder of a finished run."""
    support: Path
    """A folder with a sub-folder of images for each class, an .npz, or a table."""
    out: Path
    """The file to write, which predict reads."""
    embed: Path | None = None
    """Where the model of the run's features is now, if it has moved since."""


def run(words: list[str]) -> int:
    """The command."""
    options = read(Adapt, words, "quickstudy adapt")

    from quickstudy.serving.adapted import adapt

    adapted = adapt(options.run, options.support, options.out, embed=options.embed)
    show.line(
        f"adapted to {len(adapted.names)} classes: {', '.join(adapted.names[:20])}"
        f"{' …' if len(adapted.names) > 20 else ''}"
    )
    show.line(f"written: {options.out}    next: quickstudy predict {options.out} FILE …")
    return 0
