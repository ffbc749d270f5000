"""quickstudy adapt RUN --support FOLDER --out FILE: learn new classes from a few examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import read
from quickstudy.terminal import warn


@dataclass(frozen=True)
class Adapt:
    """Give a trained learner a few examples of each of your classes; no training."""

    run: tyro.conf.Positional[Path]
    """The folder of a finished run."""
    support: Path
    """A folder with a sub-folder of images for each class, an .npz, or a table. For a run on small
    data sets of a table (--task-column): a table with the rows of one."""
    out: Path
    """The file to write, which predict reads."""
    embed: Path | None = None
    """Where the model of the run's features is now, if it has moved since."""


def run(words: list[str]) -> int:
    """The command."""
    options = read(Adapt, words, "quickstudy adapt")

    from quickstudy.serving.functions import learns_functions

    if learns_functions(options.run):
        return run_on_function(options)

    from quickstudy.serving.adapted import adapt

    adapted = adapt(options.run, options.support, options.out, embed=options.embed)
    show.line(
        f"adapted to {len(adapted.names)} classes: {', '.join(adapted.names[:20])}"
        f"{' …' if len(adapted.names) > 20 else ''}"
    )
    show.line(f"written: {options.out}    next: quickstudy predict {options.out} FILE …")
    return 0


def run_on_function(options: Adapt) -> int:
    """The command where the run has learned functions."""
    from quickstudy.serving.functions import adapt

    adapted, errors = adapt(options.run, options.support, options.out)
    if errors:
        rows = [[name, f"{error:.4g}"] for name, error in errors.items()]
        show.table("left-out rows", ["method", "rmse"], rows, figures=True)
        own, *others = errors
        best = min(others, key=errors.__getitem__)
        if errors[best] < errors[own]:
            warn(
                f"{own} is behind {best}, which needs no run: rmse {errors[own]:.4g} and "
                f"{errors[best]:.4g} on {adapted.rows} left-out rows"
            )
    else:
        warn("there is one row, so none can be left out: nothing was measured")
    show.line(f"adapted to {adapted.rows} rows of {adapted.inputs.target}")
    show.line(f"written: {options.out}    next: quickstudy predict {options.out} FILE …")
    return 0
