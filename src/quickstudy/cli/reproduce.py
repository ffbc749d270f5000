"""quickstudy reproduce NAME: measure a row of a published table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import read
from quickstudy.numbers import at_least


@dataclass(frozen=True)
class Reproduce:
    """Train what a row of a published table needs, test it once on the test classes, and write
    results/NAME.json. The same command goes on where it was stopped."""

    name: tyro.conf.Positional[str]
    """A recipe: see quickstudy list."""
    budget: Literal["cpu", "full"] = "cpu"
    """full: the published protocol. cpu: less training, for two cores within the hour."""
    runs: Path = Path("runs/reproduce")
    """Where trainings are kept."""
    results: Path = Path("results")
    """Where the row is written."""
    devices: int | None = None
    """How many devices share the tasks of each meta-batch; see quickstudy train LEARNER --help."""
    seeds: int = 1
    """How many seeds to train each learner from; intervals then cover trainings and episodes
    together."""

    def __post_init__(self):
        at_least(self, seeds=1, devices=1)


def run(words: list[str]) -> int:
    """The command."""
    options = read(Reproduce, words, "quickstudy reproduce")

    from quickstudy.cli.main import complain
    from quickstudy.devices import join
    from quickstudy.estimate import Estimate
    from quickstudy.experiments.reproduce import reproduce
    from quickstudy.experiments.results_page import published
    from quickstudy.training import TrainingStopped

    join(devices=options.devices)
    try:
        row = reproduce(
            options.name,
            options.budget,
            options.runs,
            options.results,
            devices=options.devices,
            seeds=options.seeds,
        )
    except TrainingStopped as stopped:
        return complain(str(stopped), status=128 + stopped.signum)
    rows = []
    for figure in row["figures"]:
        found = figure[figure["metric"]]
        estimate = Estimate(found["mean"], found["interval_95"], figure["protocol"]["episodes"])
        ours = show.amount(estimate, figure["metric"])
        rows.append([figure["label"], ours, published(figure)])
    metric = show.unit(row["figures"][0]["metric"])
    show.table(row["title"], [metric, "ours", "published"], rows, figures=True)
    show.intervals({figure["label"]: figure["interval"] for figure in row["figures"]})
    if row["differences"]:
        show.line(f"differences: {row['differences']}")
    return 0
