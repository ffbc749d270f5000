"""quickstudy adapt RUN --support FOLDER --out FILE: learn new classes from a few examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import read
from quickstudy.errors import UserError
from quickstudy.numbers import FALSE_ALARMS, require_rate
from quickstudy.terminal import warn

if TYPE_CHECKING:
    from quickstudy.serving.adapted import Adapted
    from quickstudy.serving.left_out import Measured


@dataclass(frozen=True)
class Adapt:
    """Give a trained learner a few examples of each of your classes; no training. It is measured
    on examples that are left out, beside methods that need no run."""

    run: tyro.conf.Positional[Path]
    """The folder of a finished run; or characters, a learner that comes with the package."""
    support: Path
    """A folder with a sub-folder of images for each class, an .npz, or a table. For a run on small
    data sets of a table (--task-column): a table with the rows of one."""
    out: Path
    """The file to write, which predict reads."""
    embed: Path | None = None
    """Where the model of the run's features is now, if it has moved since."""
    best: bool = False
    """Write the method that is best on left-out examples and, of a run on your own data, on its
    validation tasks: the run's learner, or nearest neighbour,
    nearest mean, ridge or logistic regression on the inputs themselves. Of a function: the run's
    learner, ridge regression, one regression for all tasks of the run, or the mean."""
    false_alarms: float = FALSE_ALARMS
    """The share of inputs of your classes that predict may call unknown."""
    forget: bool = False
    """Leave out of the file what update needs: the examples, as the learner takes them, and the
    learner."""

    def __post_init__(self):
        require_rate(self.false_alarms)


def run(words: list[str]) -> int:
    """The command."""
    options = read(Adapt, words, "quickstudy adapt")

    from quickstudy.serving.functions import learns_functions

    if learns_functions(options.run):
        return run_on_function(options)

    from quickstudy.serving.adapting import adapt

    adapted = adapt(
        options.run,
        options.support,
        options.out,
        embed=options.embed,
        best=options.best,
        false_alarms=options.false_alarms,
        forget=options.forget,
    )
    table_of_methods(adapted)
    say_adapted(adapted, options.best)
    if options.forget:
        show.line("kept for update: nothing (--forget)")
    show.line(f"written: {options.out}    next: quickstudy predict {options.out} FILE …")
    return 0


def say_adapted(adapted: Adapted, best: bool) -> None:
    """What has been adapted to, how unknown inputs are told, and what is kept."""
    from quickstudy.files import in_bytes
    from quickstudy.serving.adapted_file import as_kept

    show.line(
        f"adapted to {len(adapted.names)} classes: {', '.join(adapted.names[:20])}"
        f"{' …' if len(adapted.names) > 20 else ''}"
    )
    if best or adapted.method != adapted.settings.learner.name:
        show.line(f"method: {adapted.method}")
    if adapted.known is not None:
        show.line(
            f"unknown: inputs that score {adapted.false_alarms:g} or less, by comparison with "
            f"{adapted.known.words}"
        )
    if adapted.kept is not None:
        x = as_kept(adapted.kept.x)
        show.line(
            f"kept for update: {len(x)} examples as the learner takes them "
            f"({in_bytes(x.nbytes)}), and the learner"
        )


def run_on_function(options: Adapt) -> int:
    """The command where the run has learned functions."""
    from quickstudy.serving.functions import adapt

    of_classes = {
        "--embed": options.embed is not None,
        "--false-alarms": options.false_alarms != FALSE_ALARMS,
        "--forget": options.forget,
    }
    if given := ", ".join(option for option, is_given in of_classes.items() if is_given):
        raise UserError(
            f"{options.run} learned functions, and {given} is for classes: leave it out"
        )
    adapted, errors = adapt(options.run, options.support, options.out, best=options.best)
    if errors:
        rows = [[name, f"{error:.4g}"] for name, error in errors.items()]
        show.table("left-out rows", ["method", "rmse"], rows, figures=True)
        own, *others = errors
        best = min(others, key=errors.__getitem__)
        if errors[best] < errors[own]:
            warn(
                f"{own} is behind {best}, which needs no training: rmse {errors[own]:.4g} and "
                f"{errors[best]:.4g} on {adapted.rows} left-out rows"
                + ("" if adapted.method != own else "; --best takes the better one")
            )
    else:
        warn("there is one row, so none can be left out: nothing was measured")
    show.line(f"adapted to {adapted.rows} rows of {adapted.inputs.target}")
    if options.best:
        show.line(f"method: {adapted.method}{OF_INTERVALS.get(adapted.method, '')}")
    show.line(f"written: {options.out}    next: quickstudy predict {options.out} FILE …")
    return 0


OF_INTERVALS = {
    "mean": "; its intervals are of the deviation of the support rows",
    "ridge": "; its intervals are of its errors on left-out rows",
    "one for all": "; its intervals are of its errors on the training tasks of the run",
}
"""What the intervals of the free opponents are made of."""


def table_of_methods(adapted: Adapted) -> None:
    """What was measured on left-out examples, and a warning where the learner is behind."""
    alone = [name for name, n in zip(adapted.names, adapted.counts, strict=True) if n == 1]
    if not adapted.left_out:
        warn("each class has one example, so none can be left out: nothing was measured")
        return
    show.table(
        "left-out examples",
        ["method", "right", "accuracy, %", "nll", "temperature"],
        [
            [m.method, f"{m.right}/{m.of}", f"{100 * m.accuracy:.1f}", *fitted(m)]
            for m in adapted.left_out
        ],
        figures=True,
    )
    if alone:
        warn(f"classes of one example cannot be left out, and are not measured: {', '.join(alone)}")
    learner, *others = adapted.left_out
    best = max(others or [learner], key=lambda m: m.right)
    if best.right > learner.right:
        took = adapted.method != learner.method
        warn(
            f"{learner.method} is behind {best.method}, which needs no run: {learner.right} and "
            f"{best.right} of {best.of} left-out examples right"
            + ("" if took else "; --best takes the better one")
        )


def fitted(row: Measured) -> list[str]:
    """The figures of a method's probabilities."""
    return [f"{row.nll:.3f}", f"{row.temperature:.3g}"]
