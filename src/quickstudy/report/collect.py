"""From the folder of a run to what its report shows: a function for each section.

write(Path("runs/omniglot"))                       # runs/omniglot/report.html
write_comparison(runs, comparison, Path("demo/report.html"))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.estimate import Estimate
from quickstudy.evaluation import Comparison, Result
from quickstudy.likelihood import Categorical
from quickstudy.progress import progress
from quickstudy.record import METRICS, read_metrics
from quickstudy.report.confusions import confused
from quickstudy.report.data import Calibration, Curve, Line, ReportData, Row, Sweep
from quickstudy.report.drawn import drawn
from quickstudy.report.opened import OpenedRun
from quickstudy.report.page import require_page, write_report
from quickstudy.runs.evidence import provenance
from quickstudy.runs.opponents import verdict
from quickstudy.settings.run import QUERIES, WAYS, TaskSettings
from quickstudy.tasks.sequences import PRESENTATIONS

INNER_STEPS = (0, 1, 2, 3, 5, 10)
SHOTS = (1, 2, 3, 5, 10)
SWEEP_EPISODES = 100


def write(run: Path, out: Path | None = None) -> Path:
    """Write the report of a run, or of several seeds, to `out`, by default `report.html` in its
    folder; the path.

    Raises `UserError` where `run` is no finished run or the page cannot be written.
    """
    page = out or run / "report.html"
    require_page(page)
    write_report(page, collect(run))
    return page


def write_comparison(runs: Mapping[str, Path], comparison: Comparison, out: Path) -> Path:
    """Write the report of several runs to `out`; the path."""
    write_report(out, compare_report(runs, comparison))
    return out


def collect(
    run: Path, *, episodes: int = 200, seed: int = 0, show_progress: bool = True
) -> ReportData:
    """All that a report shows of one run, measured on `episodes` test episodes. The learner answers
    as in `predict`, each query by itself where it can; the figure with the queries' own batch
    statistics stands beside. Of several seeds, figures are means over them, and what is drawn is
    the first one's.

    >>> collect(Path("runs/omniglot")).title
    'protonet on omniglot, 5-way 1-shot'
    """
    opened = OpenedRun.open(run).as_predicted()
    with progress("report", 5, show=show_progress) as reporter:
        result = opened.measure(episodes, seed)
        results = {opened.name: result, **other_mode(opened, episodes, seed)}
        free = opened.measure_opponents(episodes, seed)
        reporter.at(1)
        episode, embedding = drawn(opened, seed)
        reporter.at(2)
        sweeps = [
            *by_presentation(opened.name, result),
            *steps_sweep(opened, seed),
            *shots_sweep(opened, seed),
        ]
        reporter.at(4)
        confusions = confused(opened, seed)
        reporter.at(5)
    return ReportData(
        title=f"{opened.name} on {subject(opened.settings.tasks)}",
        metric=result.headline,
        episodes=episodes,
        higher_is_better=result.higher_is_better,
        chance=chance(opened),
        rows=rows(Comparison({**results, **free})),
        headline=opened.name,
        verdict=verdict(opened.name, result, free) if free else "",
        protocol=protocol(opened, result),
        curves=curves(trainings(opened), result.headline),
        episode=episode,
        sweeps=sweeps,
        calibration=calibrations(results),
        embedding=embedding,
        confusions=confusions,
    )


def compare_report(runs: Mapping[str, Path], comparison: Comparison) -> ReportData:
    """All that a report shows of several runs, measured already on the same episodes. The
    episode, the embedding and the confusions are those of the best learner."""
    comparison = best_first(comparison)
    results = comparison.results
    result = results[comparison.best]
    best = OpenedRun.open(runs[comparison.best], comparison.best)
    seed = result.protocol["seed"]
    episode, embedding = drawn(best, seed)
    shared = {k: v for k, v in protocol(best, result).items() if k not in result.learner}
    return ReportData(
        title=f"{len(runs)} learners on {subject(best.settings.tasks)}",
        metric=result.headline,
        episodes=result.protocol["episodes"],
        higher_is_better=result.higher_is_better,
        chance=chance(best),
        rows=rows(comparison),
        protocol={"episode drawn with": best.name, **shared},
        curves=curves(
            {
                k: v
                for name, run in runs.items()
                for k, v in trainings(OpenedRun.open(run, name)).items()
            },
            result.headline,
        ),
        episode=episode,
        calibration=calibrations(results),
        embedding=embedding,
        confusions=confused(best, seed),
    )


def calibrations(results: Mapping[str, Result]) -> list[Calibration]:
    """The reliability diagrams of those that make claims."""
    return [Calibration.from_sums(n, r.bins) for n, r in results.items() if r.bins is not None]


def subject(tasks: TaskSettings) -> str:
    """The tasks in a few words.

    >>> subject(TaskSettings("folder:data/birds", way=5, shot=1))
    'birds, 5-way 1-shot'
    """
    way, data = tasks.way or WAYS, tasks.data
    if tasks.sequence:
        return f"{data.path.name or data.name}, sequences of {tasks.sequence} of {way} classes"
    return data.subject(way, tasks.shot)


def chance(run: OpenedRun) -> float | None:
    """The accuracy of guessing; None where targets are not classes."""
    likelihood = run.problem.likelihood
    return 1 / likelihood.size if isinstance(likelihood, Categorical) else None


def rows(comparison: Comparison) -> list[Row]:
    """The results table, in the order of the comparison."""
    results = comparison.results
    return [
        Row(
            name,
            results[name].estimate(),
            results[name].estimate("nll"),
            results[name].calibration_error,
            mode(results[name]),
            None if name == comparison.best else comparison.behind_best(name),
        )
        for name in results
    ]


def best_first(comparison: Comparison) -> Comparison:
    """In the order of the headline metric."""
    results = comparison.results
    sign = -1 if results[comparison.best].higher_is_better else 1
    order = sorted(results, key=lambda name: sign * results[name].estimate().mean)
    return Comparison({name: results[name] for name in order})


def mode(result: Result) -> str:
    """What a prediction could look at, by batch normalisation: inductive, transductive …"""
    words = result.protocol["batch norm"]
    return "no batch norm" if words == "none" else words.partition("(")[2].rstrip(")")


def other_mode(run: OpenedRun, episodes: int, seed: int) -> dict[str, Result]:
    """An inductive run's figures with the queries' own batch statistics, and the reverse; by
    name. Empty where there is no batch normalisation, or no choice."""
    chosen = run.learner.normalised_by
    if chosen is None or "normalisation" not in vars(run.settings.learner):
        return {}
    whose = "support" if chosen == "batch" else "batch"
    other = run.having(normalisation=whose)
    return {f"{run.name}, {whose} statistics": other.measure(episodes, seed)}


def protocol(run: OpenedRun, result: Result) -> dict[str, Any]:
    """What was measured, and with what it was trained and measured."""
    training = run.settings.to_json()["training"]
    wanted = ("steps", "meta_batch", "learning_rate", "decay", "seed")
    t = run.settings.tasks
    words = {
        "training": {word.replace("_", " "): training[word] for word in wanted},
        "training episodes": f"{t.train_way}-way {t.train_shot}-shot, {t.train_query} queries",
        "trained at commit": run.first.header.get("provenance", {}).get("commit"),
    }
    return {**result.protocol, **{k: v for k, v in words.items() if v}, **provenance()}


def trainings(run: OpenedRun) -> dict[str, Path]:
    """The folder of each training, by name."""
    if len(run.seeds) == 1:
        return {run.name: run.path}
    return {f"{run.name}, seed {seed}": folder for seed, folder in run.folders.items()}


def curves(runs: Mapping[str, Path], metric: str) -> list[Curve]:
    """What the runs logged; those that took no steps have no curve."""
    found = []
    for name, run in runs.items():
        logged = read_metrics(run / METRICS)
        steps = [row for row in logged if "loss" in row]
        looks = [row for row in logged if f"validation {metric}" in row]
        if steps:
            found.append(
                Curve(
                    name=name,
                    steps=np.array([row["step"] for row in steps]),
                    loss=np.array([row["loss"] for row in steps], float),
                    metric=np.array([row.get(metric, np.nan) for row in steps], float),
                    validation_steps=np.array([row["step"] for row in looks], int),
                    validation=np.array([row[f"validation {metric}"] for row in looks], float),
                )
            )
    return found


def line(name: str, settings: Sequence[int], estimates: list[Estimate]) -> Line:
    """Estimates at several settings."""
    return Line(
        name,
        np.array(settings),
        np.array([e.mean for e in estimates]),
        np.array([e.half_width for e in estimates]),
    )


def by_presentation(name: str, result: Result) -> list[Sweep]:
    """Of sequences, the accuracy where a class comes up the first time, the second …"""
    if "accuracy@1" not in result.metrics:
        return []
    numbers = range(1, PRESENTATIONS + 1)
    found = [result.estimate(f"accuracy@{k}") for k in numbers]
    return [Sweep("presentations", [line(name, numbers, found)])]


def steps_sweep(run: OpenedRun, seed: int) -> list[Sweep]:
    """The headline metric after more or fewer inner steps, for learners that take them."""
    if not run.offers("test_steps"):
        return []
    found = [run.having(test_steps=s).measure(SWEEP_EPISODES, seed) for s in INNER_STEPS]
    return [Sweep("inner steps", [line(run.name, INNER_STEPS, [r.estimate() for r in found])])]


def shots_sweep(run: OpenedRun, seed: int) -> list[Sweep]:
    """Accuracy with more or fewer labelled support examples, as many as there are."""
    tasks = replace(run.settings.tasks, labelled=1.0, distractors=0)
    most = most_shots(tasks)
    shots = [shot for shot in SHOTS if shot <= most]
    if len(shots) < 2:
        return []
    found = [run.measure(SWEEP_EPISODES, seed, replace(tasks, shot=shot)) for shot in shots]
    return [Sweep("shots", [line(run.name, shots, [r.estimate() for r in found])])]


def most_shots(tasks: TaskSettings) -> int:
    """How many support examples every test class can give beside its queries; 0 for tasks that
    are not classification, from descriptions, or sequences."""
    if tasks.zero_shot or tasks.sequence:
        return 0
    most = tasks.data.most_shots(tasks.query or QUERIES)
    return max(SHOTS) if most is None else most
