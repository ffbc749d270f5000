"""The page of results, in Markdown: every measured row beside the published one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quickstudy.errors import UserError
from quickstudy.estimate import Estimate


def table(results: Path) -> str:
    """Write `docs/results.md`: every row that was measured, beside the published one, in Markdown.

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
        "The line under each title names the data, the [split](data.md#splits) and its part. The",
        "files hold the whole protocol, command, commit, machine, versions and time; the",
        "[glossary](glossary.md) explains the words.",
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
        f"`{row['command']}` · {row['source']} · {_tested_on(row['figures'])}",
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


def _tested_on(figures: list[dict[str, Any]]) -> str:
    """Name the data, the split and the part of the classes that the figures are of."""
    words = {"data": "", "split": "split ", "part": "part "}
    protocols = [figure["protocol"] for figure in figures]
    places = [", ".join(words[k] + p[k] for k in words if p.get(k)) for p in protocols]
    return "tested on " + "; ".join(dict.fromkeys(places))


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
