"""quickstudy optimize RUN: a trained optimiser on fresh problems, beside its opponents."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import read
from quickstudy.errors import UserError
from quickstudy.numbers import at_least
from quickstudy.settings.network import Flat
from quickstudy.settings.problems import ProblemSettings


@dataclass(frozen=True)
class OtherProblems:
    """Where nothing is said, those that the optimiser was trained on."""

    tasks: str | None = None
    """quadratics, logistic, ackley, rastrigin, rosenbrock, styblinski, mnist, cifar10, several,
    FILE.py."""
    dimensions: int | None = None
    """Of quadratics, logistic regression and test functions."""
    hidden: tuple[int, ...] | None = None
    """Widths of a network's dense layers."""
    kernels: tuple[int, ...] | None = None
    """Kernels in each of a network's convolutional blocks."""
    activation: tuple[Literal["sigmoid", "tanh", "relu"], ...] | None = None
    """Of a network's units."""
    batch: int | None = None
    """Images in a minibatch."""
    image_size: int | None = None
    """The height and width of MNIST's images."""

    def instead_of(self, trained_on: ProblemSettings) -> ProblemSettings:
        """Those with what is said here."""
        said: dict[str, Any] = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        return dataclasses.replace(trained_on, **said)


@dataclass(frozen=True)
class Optimize:
    """Minimise fresh problems with a trained optimiser, and the same ones with hand-designed
    optimisers, each with its learning rate searched for on other problems of the kind. The search
    is kept in RUN/opponents.json."""

    run: tyro.conf.Positional[Path]
    """The folder of a trained optimiser."""
    problems: Annotated[OtherProblems, Flat] = dataclasses.field(default_factory=OtherProblems)
    steps: int | None = None
    """How many; by default the horizon that it was trained for."""
    count: int = 100
    """How many problems."""
    tuning: int = 50
    """On how many other problems the opponents' rates are searched for."""
    seed: int = 0
    """Which problems: the same seed gives any optimiser the same ones."""
    picture: Path | None = None
    """Draw the curves into this PNG file."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self):
        at_least(self, steps=1, count=2, tuning=1, seed=0)


def run(words: list[str]) -> int:
    """The command."""
    options = read(Optimize, words, "quickstudy optimize")

    from quickstudy.devices import join
    from quickstudy.experiments.race import race
    from quickstudy.files import write_atomically
    from quickstudy.runs.evidence import command, provenance
    from quickstudy.runs.kinds import OPTIMIZER
    from quickstudy.runs.problems import own_problems, problems_of
    from quickstudy.runs.saved import SavedRun
    from quickstudy.user_file import require_unchanged

    if options.picture is not None:
        from quickstudy.report.figures import require_picture

        require_picture(options.picture)
    if not options.run.is_dir():
        raise UserError(f"{options.run} is not a run: train one with --run {options.run}")
    join()
    if options.problems.tasks is not None and options.problems.tasks.endswith(".py"):
        own_problems(options.problems.tasks)
    saved = SavedRun.open(options.run, OPTIMIZER)
    settings = saved.settings
    if settings.source is not None:
        require_unchanged(settings.source, "--tasks")
    found = race(
        {settings.name: saved.learner()},
        problems_of(options.problems.instead_of(settings.problems)),
        steps=settings.unrolling.horizon if options.steps is None else options.steps,
        count=options.count,
        tuning=options.tuning,
        seed=options.seed,
        folder=options.run,
        show_progress=True,
    )
    if options.picture is not None:
        from quickstudy.report.figures import diagrams

        write_atomically(options.picture, diagrams([found.panel()]))
    if options.json:
        evidence = {"command": command(), "run": str(options.run), **provenance()}
        show.as_json({**evidence, **found.summary()})
        return 0
    columns = [
        "optimiser",
        f"loss after {found.steps}",
        "above ours by",
        "steps to Adam's loss",
    ]
    show.table(str(options.run), columns, found.rows(), figures=True)
    show.protocol(found.protocol)
    if options.picture is not None:
        show.line(f"written: {options.picture}")
    return 0
