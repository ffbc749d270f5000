"""Measure a row of a published table, and write down what came out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from quickstudy.checkpoint import read_header
from quickstudy.errors import UserError, nearest
from quickstudy.evaluation import Estimate, Result, paired_difference, same_episodes
from quickstudy.experiments.published import EXPERIMENTS, RECIPES
from quickstudy.experiments.published.recipe import PRESENTATIONS, Budget, Figure, Recipe
from quickstudy.files import write_json
from quickstudy.runs.evidence import provenance, require_results, run_folder
from quickstudy.runs.wiring import LEARNER_FILE, load_learner, measure_seeds, train_seeds


def recipe(name: str, budget: Budget) -> Recipe:
    """A recipe by its name. Raises `UserError` for an unknown one, with the nearest names."""
    if name not in RECIPES:
        names = sorted([*RECIPES, *EXPERIMENTS])
        raise UserError(f"there is no recipe {name!r}: {nearest(name, names)}")
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
    if name in EXPERIMENTS:
        return EXPERIMENTS[name](results, show_progress=show_progress)
    made = recipe(name, budget)
    path = results / (f"{name}.json" if budget == "full" else f"{name}-cpu.json")
    require_results(path)
    command = f"quickstudy reproduce {name}"  # where runs and results lie changes no figure
    command += " --budget full" if budget == "full" else ""
    command += f" --devices {devices}" if devices else ""
    command += f" --seeds {seeds}" if seeds > 1 else ""
    evidence = {"command": command, **provenance()}
    measured = [_measured(figure, runs, devices, seeds, show_progress) for figure in made.figures]
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
        "differences": made.differences,
        **evidence,
        "figures": figures,
    }
    write_json(path, row)
    return row


def _measured(
    figure: Figure, runs: Path, devices: int | None, seeds: int, show_progress: bool
) -> tuple[dict[str, Any], Result]:
    """Train unless it is done, test, and put everything beside the figure."""
    first = figure.run.training.seed
    folders = {
        seed: run_folder(runs, figure.run.with_seed(seed)) for seed in range(first, first + seeds)
    }
    train_seeds(figure.run, folders, devices=devices, show_progress=show_progress)
    options = dict(figure.options)
    loaded = {seed: load_learner(folder, **options) for seed, folder in folders.items()}
    headers = [read_header(folder / LEARNER_FILE) for folder in folders.values()]
    settings, header = loaded[first][0], headers[0]
    started = time.monotonic()
    result, _ = measure_seeds(
        loaded,
        tasks=figure.test,
        part=figure.part,
        episodes=figure.episodes,
        asking=figure.asking,
        show_progress=show_progress,
    )
    of_paper = {
        f"accuracy@{k}": accuracy
        for k, accuracy in zip(PRESENTATIONS, figure.presentations, strict=False)
    }
    words = {
        "label": figure.label,
        "metric": result.headline,
        **result.summary(),
        "published": figure.published,
        **({"published_at": of_paper} if of_paper else {}),
        "training": {
            **settings.to_json(),
            "commit": header["provenance"]["commit"],
            "machine": header["provenance"]["machine"],
            "seconds": round(sum(h["seconds"] for h in headers), 1),
        },
        "evaluation_seconds": round(time.monotonic() - started, 1),
    }
    return words, result


def table(results: Path) -> str:
    """`docs/results.md`: every row that was measured, beside the published one, in Markdown.

    Raises `UserError` where there is nothing measured, or a file is not one of ours.
    """
    files = sorted(results.glob("*.json"))
    if not files:
        raise UserError(f"there are no results in {results}: quickstudy reproduce NAME makes some")
    lines = [
        "# Results",
        "",
        "Written by `quickstudy tables` from the files in `results/`; do not edit. Each figure is",
        "a mean with its 95 % interval, and beside it stands what the interval covers. An interval",
        "over test episodes of one training tells what other episodes would give this trained",
        "learner: another training may differ by more. An interval over several trainings and",
        "episodes together tells what another training, tested on other episodes, would give; s is",
        "then the standard deviation over trainings, and the time is that of all. Differences from",
        "another row are paired, episode by episode, and their intervals cover what the rows' do.",
        "The files hold the whole protocol, command, commit, machine, versions and time.",
    ]
    for file in files:
        try:
            row = json.loads(file.read_text())
            lines += _section(row)
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise UserError(f"{file} is not a result of quickstudy: take it away") from error
    return "\n".join(lines) + "\n"


def published(figure: dict[str, Any]) -> str:
    """The published figure of a cell, as papers print it: 98.8, or 0.67."""
    if figure["published"] is None:
        return "–"
    return f"{figure['published']:.{1 if figure['metric'] == 'accuracy' else 2}f}"


def interval_over(figure: dict[str, Any]) -> str:
    """What the interval of a cell covers, without the caution after it."""
    words = figure.get("interval")
    if words is None:  # a file from before the words were written
        trainings = 0 if figure["training"].get("training", {}).get("steps") == 0 else 1
        words = Estimate(0, 0, figure["protocol"]["episodes"], (trainings,)).covers
    return words.partition(";")[0].removeprefix("over ")


def _number(value: float | None, factor: float = 1, digits: int = 3, sign: str = "") -> str:
    """In so many digits; a dash where there is none."""
    return "–" if value is None else f"{factor * value:{sign}.{digits}f}"


def _amount(figure: dict[str, Any], factor: float, digits: int, sign: str = "") -> str:
    """A mean and its interval."""
    mean, half = figure["mean"], figure["interval_95"]
    return f"{_number(mean, factor, digits, sign)} ± {_number(half, factor, digits)}"


def _section(row: dict[str, Any]) -> list[str]:
    machine = row["machine"]
    lines = [
        "",
        f"## {row['title']}",
        "",
        f"`{row['command']}` · {row['source']}",
        "",
        "| | ours | published | negative log-likelihood | calibration error | interval over "
        "| batch norm | training |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for figure in row["figures"]:
        metric, protocol = figure[figure["metric"]], figure["protocol"]
        share = figure["metric"] == "accuracy"
        factor, digits = (100, 2) if share else (1, 3)
        ours = _amount(metric, factor, digits)
        unit = " %" if share else ""
        if (spread := metric.get("over_seeds")) is not None:
            count = len(spread["values"])
            unit += f"; s of {count} trainings {factor * spread['deviation']:.{digits}f}"
        if (change := figure.get("from_the_first")) is not None:
            first = change.get("first", row["figures"][0]["label"])
            unit += f"; {_amount(change, factor, digits, '+')} from {first}"
        lines.append(
            f"| {figure['label']} | **{ours}**{unit} | {published(figure)} "
            f"| {_number(figure['nll']['mean'])} | {_number(figure.get('calibration_error'))} "
            f"| {interval_over(figure)} | {protocol['batch norm']} "
            f"| {figure['training']['seconds'] / 60:.0f} min |"
        )
    lines += _by_presentation([f for f in row["figures"] if "published_at" in f])
    budget = "the published protocol" if row["budget"] == "full" else "a smaller budget on a CPU"
    differences = f": {row['differences']}" if row["differences"] else ""
    lines += [
        "",
        f"Budget: {budget}{differences}. Commit {row['commit']}, {machine['processor']}, "
        f"{machine['cores']} cores, {machine['device']}.",
    ]
    return lines


def _by_presentation(figures: list[dict[str, Any]]) -> list[str]:
    """Of sequences: ours, and the published accuracy, at each presentation of a class."""
    if not figures:
        return []
    names = list(figures[0]["published_at"])
    lines = [
        "",
        "Accuracy in % at the n-th presentation of a class, and the published one:",
        "",
        "| | " + " | ".join(name.partition("@")[2] for name in names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for figure in figures:
        cells = []
        for name in names:
            ours, paper = figure[name], figure["published_at"][name]
            cells.append(f"**{_amount(ours, 100, 1)}** · {_number(paper, digits=1)}")
        lines.append(f"| {figure['label']} | " + " | ".join(cells) + " |")
    return lines
