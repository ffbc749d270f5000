"""quickstudy compare RUN RUN …: paired differences on the same episodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from quickstudy.cli import show
from quickstudy.cli.evaluate import TestOptions, asking_of, test_tasks
from quickstudy.cli.options import read
from quickstudy.errors import UserError

if TYPE_CHECKING:
    from quickstudy.evaluation import Comparison


@dataclass(frozen=True)
class Compare:
    """Several runs on the same episodes: each one's figures, and its difference from the best,
    episode by episode, with a 95 % interval. Of several seeds, an episode's figure is the mean
    over them, and intervals cover trainings and episodes together. Tasks are the first run's, where
    nothing is said."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """The folders of two finished runs or more, or of several seeds each."""
    test: Annotated[TestOptions, tyro.conf.OmitArgPrefixes]
    json: bool = False
    """Print JSON."""


def show_comparison(title: str, comparison: Comparison) -> None:
    """The table, best first."""
    results = comparison.results
    sign = -1 if results[comparison.best].higher_is_better else 1
    order = sorted(results, key=lambda name: sign * results[name].estimate().mean)
    rows = []
    for name in order:
        *row, mode = show.result_row(name, results[name])
        metric = results[name].headline
        behind = (
            "best" if name == comparison.best else show.amount(comparison.behind_best(name), metric)
        )
        rows.append([*row, behind, mode])
    first, _, *middle, last = show.RESULT_COLUMNS
    metric = results[order[0]].headline
    columns = [first, show.unit(metric), *middle, "from the best", last]
    show.table(title, columns, rows, figures=True)
    show.presentations([(name, results[name]) for name in order])
    show.balanced([(name, results[name]) for name in order])
    show.intervals({name: results[name].estimate().covers for name in order})
    show.intervals(
        {name: comparison.behind_best(name).covers for name in order if name != comparison.best},
        "± from the best",
    )


def run(words: list[str]) -> int:
    """The command."""
    options = read(Compare, words, "quickstudy compare")
    if len(options.runs) < 2 or len(set(options.runs)) < len(options.runs):
        raise UserError("compare takes two different runs or more")

    from quickstudy.evaluation import Comparison
    from quickstudy.runs.measure import measure_opponents, measure_seeds
    from quickstudy.runs.saved import open_seeds

    saved = {str(path): open_seeds(path) for path in options.runs}
    first = next(iter(saved[str(options.runs[0])].values())).settings
    tasks = test_tasks(options.test, first)
    asking = asking_of(options.test)
    where: dict[str, Any] = {
        "tasks": tasks,
        "part": options.test.part,
        "episodes": options.test.episodes,
        "seed": options.test.seed,
    }
    measured = {
        name: measure_seeds(seeds, asking=asking, called=name, **where)[0]
        for name, seeds in saved.items()
    }
    one = next(iter(saved[str(options.runs[0])].values()))
    free = {} if asking else measure_opponents(one, **where)
    comparison = Comparison({**measured, **free})
    one, *others = comparison.results.items()
    for name, result in others:
        try:
            one[1].tasks.require(result.tasks)
        except ValueError as error:
            raise UserError(f"{one[0]} and {name} cannot be compared: {error}") from error
    if options.json:
        found = {}
        for name, result in comparison.results.items():
            behind = comparison.behind_best(name)
            difference = {
                "mean": behind.mean,
                "interval_95": behind.half_width,
                "interval": behind.covers,
            }
            found[name] = {**result.summary(), "difference_from_best": difference}
        show.as_json({"best": comparison.best, "runs": found})
        return 0
    show_comparison("the same episodes", comparison)
    show.protocol(comparison.results[comparison.best].protocol)
    return 0
