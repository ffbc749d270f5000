"""A study: trained learners, a question, and curves that answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from quickstudy.evaluation import Estimate
from quickstudy.experiments.published.recipe import Budget
from quickstudy.files import write_json
from quickstudy.runs.evidence import provenance, require_results, run_folder
from quickstudy.runs.optimizing import OPTIMIZER_FILE, load_trained, train_optimizer
from quickstudy.runs.wiring import LEARNER_FILE, load_learner, train
from quickstudy.settings.optimizer_run import OptimizerRunSettings
from quickstudy.settings.run import RunSettings


@dataclass(frozen=True)
class Panel:
    """One diagram: a figure with its interval against something, a line for each of several
    learners or variants."""

    title: str
    x: str
    """What is varied."""
    y: str
    """What is measured."""
    lines: dict[str, dict[str, Estimate]]
    """By name of the line, then by value of x."""
    logarithmic: Literal["", "y", "xy"] = ""
    """What varies over orders of magnitude."""
    points: tuple[str, ...] = ()
    """Names of lines that are points, not joined."""


@dataclass(frozen=True)
class Map:
    """One picture: numbers from 0 on, by row and column."""

    title: str
    x: str
    """What the columns are."""
    y: str
    """What the rows are."""
    values: np.ndarray
    columns: tuple[str, ...]
    """A word for each column."""
    rows: tuple[str, ...] = ()
    """A word for each row; without them, rows are numbered."""


def pictures(title: str, x: str, rows: dict[str, list[np.ndarray]], columns: list[str]) -> Map:
    """A map of pictures in rows, each with a name, and columns; all of one height and width."""
    values = np.concatenate([np.concatenate(row, axis=1) for row in rows.values()])

    def at_the_middle(words: list[str], pixels: int) -> tuple[str, ...]:
        each = pixels // len(words)
        made = [""] * pixels
        made[each // 2 :: each] = words
        return tuple(made)

    height, width = values.shape
    return Map(
        *(title, x, "", np.clip(values, 0, None)),
        columns=at_the_middle(columns, width),
        rows=at_the_middle(list(rows), height),
    )


Trained = Callable[[RunSettings | OptimizerRunSettings], Any]
"""Trains what the settings say, unless it is there, and loads it: a `Learner`, or a
`LearnedOptimizer`."""


@dataclass(frozen=True)
class Study:
    """A question, and how it is put."""

    title: str
    source: str
    """The paper that asked."""
    protocol: str
    """What every panel has in common."""
    panels: Callable[[Budget, Trained], Iterator[Panel | Map]]


def conduct(
    name: str,
    study: Study,
    budget: Budget,
    runs: Path,
    results: Path,
    *,
    show_progress: bool = True,
) -> list[Panel | Map]:
    """Train what the study needs (or go on, or use what is there), measure its panels, and write
    `results/NAME.json` (`NAME-cpu.json` for the small budget).

    Raises `UserError` for what the user can put right.
    """
    path = results / (f"{name}.json" if budget == "full" else f"{name}-cpu.json")
    require_results(path)
    trainings: dict[str, Any] = {}

    def trained(settings: RunSettings | OptimizerRunSettings) -> Any:
        folder = run_folder(runs, settings)
        trainings[folder.name] = settings.resolved().to_json()
        if isinstance(settings, OptimizerRunSettings):
            if not (folder / OPTIMIZER_FILE).exists():
                train_optimizer(settings, folder, show_progress=show_progress)
            return load_trained(folder)[1]
        if not (folder / LEARNER_FILE).exists():
            train(settings, folder, show_progress=show_progress)
        return load_learner(folder)[2]

    evidence = {
        "command": f"quickstudy study {name}" + (" --budget full" if budget == "full" else ""),
        **provenance(),
    }
    panels = list(study.panels(budget, trained))
    found = {
        "study": name,
        "title": study.title,
        "source": study.source,
        "budget": budget,
        "protocol": study.protocol,
        **evidence,
        "trainings": trainings,
        "panels": [to_json(panel) for panel in panels],
    }
    write_json(path, found)
    return panels


def to_json(panel: Panel | Map) -> dict[str, Any]:
    """Plain JSON values."""
    words: dict[str, Any] = {"title": panel.title, "x": panel.x, "y": panel.y}
    if isinstance(panel, Map):
        values = np.round(panel.values.astype(float), 3).tolist()
        named = {"rows": list(panel.rows)} if panel.rows else {}
        return {**words, **named, "columns": list(panel.columns), "values": values}
    lines = {
        name: {
            x: {"mean": e.mean, "interval_95": e.half_width, "episodes": e.episodes}
            for x, e in line.items()
        }
        for name, line in panel.lines.items()
    }
    return {**words, "lines": lines}
