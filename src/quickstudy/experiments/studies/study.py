"""A study: trained learners, a question, and curves that answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickstudy.experiments.diagrams import Map, Panel, to_json
from quickstudy.experiments.published.recipe import Budget
from quickstudy.files import write_json
from quickstudy.runs.evidence import provenance, require_results, run_folder
from quickstudy.runs.run import Run
from quickstudy.runs.train import train_unless_done

Trained = Callable[[Run], Any]
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

    def trained(settings: Run) -> Any:
        folder = run_folder(runs, settings)
        trainings[folder.name] = settings.resolved().to_json()
        folders = {settings.training.seed: folder}
        [saved] = train_unless_done(settings, folders, show_progress=show_progress).values()
        return saved.learner()

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
