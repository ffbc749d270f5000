"""Measure a row of a published table, and write down what came out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from quickstudy.errors import UserError, nearest
from quickstudy.evaluation import Result, paired_difference, same_episodes
from quickstudy.experiments.published import RECIPES
from quickstudy.experiments.published.recipe import Budget, Figure, OneTest, Recipe
from quickstudy.files import write_json
from quickstudy.runs.evidence import provenance, require_results, run_folder
from quickstudy.runs.kinds import kind_of_run
from quickstudy.runs.saved import SavedRun
from quickstudy.runs.train import train_unless_done


def recipe(name: str, budget: Budget) -> Recipe:
    """A recipe by its name. Raises `UserError` for an unknown one, with the nearest names."""
    if name not in RECIPES:
        raise UserError(f"there is no recipe {name!r}: {nearest(name, sorted(RECIPES))}")
    return RECIPES[name](budget)


def reproduce(
    name: str,
    budget: Budget,
    runs: Path,
    results: Path,
    *,
    devices: int | None = None,
    seeds: int = 1,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Train what the recipe needs (or go on, or use what is there), from so many seeds, test each
    figure once, and write `results/NAME.json` (`NAME-cpu.json` for the small
    budget).

    Raises `UserError` for what the user can put right.
    """
    made = recipe(name, budget)
    if made.one_budget:
        budget = "cpu"
    unlike_published = budget == "cpu" and not made.one_budget
    path = results / (f"{name}-cpu.json" if unlike_published else f"{name}.json")
    require_results(path)
    command = f"quickstudy reproduce {name}"  # where runs and results lie changes no figure
    command += " --budget full" if budget == "full" else ""
    command += f" --devices {devices}" if devices else ""
    command += f" --seeds {seeds}" if seeds > 1 else ""
    evidence = {"command": command, **provenance()}
    cells = (*made.figures, *made.tests)
    measured = [_measured(cell, runs, devices, seeds, show_progress) for cell in cells]
    figures = [figure for figure, _ in measured]
    if made.paired:
        for figure, result in measured:
            first, of_first = next(m for m in measured if same_episodes(m[1], result))
            if first is not figure:
                change = paired_difference(result, of_first)
                figure["from_the_first"] = {
                    "first": first["label"],
                    "mean": change.mean,
                    "interval_95": change.half_width,
                    "interval": change.covers,
                }
    row = {
        "recipe": name,
        "title": made.title,
        "source": made.source,
        "budget": budget,
        "differences": made.differences + (made.found(figures) if made.found else ""),
        **evidence,
        "figures": figures,
    }
    write_json(path, row)
    return row


def _measured(
    figure: Figure | OneTest, runs: Path, devices: int | None, seeds: int, show_progress: bool
) -> tuple[dict[str, Any], Result]:
    """Train unless it is done, test, and put everything beside the figure."""
    first = figure.run.training.seed
    folders = {
        seed: run_folder(runs, figure.run.with_seed(seed)) for seed in range(first, first + seeds)
    }
    saved = train_unless_done(figure.run, folders, devices=devices, show_progress=show_progress)
    started = time.monotonic()
    result, more = figure.measure(saved, show_progress=show_progress)
    evidence = saved[first].header["provenance"]
    words = {
        "label": figure.label,
        "metric": result.headline,
        **result.summary(),
        "published": figure.published,
        **more,
        "training": {
            **saved[first].settings.to_json(),
            "commit": evidence["commit"],
            "machine": evidence["machine"],
            "seconds": round(sum(seconds_of(one) for one in saved.values()), 1),
        },
        "evaluation_seconds": round(time.monotonic() - started, 1),
    }
    return words, result


def seconds_of(saved: SavedRun) -> float:
    """How long a run was trained, with the runs that it began with."""
    start = saved.settings.start
    if start is None or isinstance(start, str):
        return saved.header["seconds"]
    folder = run_folder(saved.file.parent.parent, start)
    return saved.header["seconds"] + seconds_of(SavedRun.open(folder, kind_of_run(start)))
