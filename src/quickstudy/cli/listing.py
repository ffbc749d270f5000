"""quickstudy list: what there is by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import tyro

from quickstudy.cli import show
from quickstudy.data.registry import KINDS
from quickstudy.experiments.published import RECIPES
from quickstudy.experiments.studies.registry import STUDIES
from quickstudy.settings.registry import LEARNERS, OPTIMIZERS

PROBLEMS = {
    "quadratics": "random quadratics (Andrychowicz et al. 2016)",
    "mnist": "networks that classify MNIST: any width, depth, units; convolutions",
    "cifar10": "the same on CIFAR-10",
    "logistic": "logistic regression on random data",
    "ackley": "a classical test function; so are rastrigin, rosenbrock and styblinski",
    "several": "quadratics, logistic regression, styblinski and two networks, at once",
    "FILE.py": "your own, see docs/methods/learned-optimizers.md",
}


@dataclass(frozen=True)
class List:
    """List what there is by name: learners, learned optimisers, tasks, problems, recipes and
    studies."""


def run(words: list[str]) -> int:
    """The command."""
    tyro.cli(List, args=words, prog="quickstudy list")
    tables = {
        "learners": sentences(LEARNERS),
        "learned optimisers": sentences(OPTIMIZERS),
        "tasks": {name: kind.about for name, kind in KINDS.items()},
        "problems": PROBLEMS,
        "recipes": sentences(RECIPES),
        "studies": STUDIES,
    }
    for title, rows in tables.items():
        show.table(title, ["name", ""], [list(row) for row in rows.items()])
    return 0


def sentences(things: Mapping[str, object]) -> dict[str, str]:
    """The first sentence about each."""
    return {name: show.first_sentence(thing) for name, thing in things.items()}
