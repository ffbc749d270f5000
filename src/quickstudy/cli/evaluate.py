"""quickstudy evaluate RUN: figures on unseen classes, with the protocol."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import read
from quickstudy.errors import UserError
from quickstudy.settings.learner import at_least
from quickstudy.settings.run import Asking, RunSettings, TaskSettings, defaults_of_classes
from quickstudy.settings.task_kinds import WITHOUT_CLASSES

if TYPE_CHECKING:
    from quickstudy.evaluation import Result


@dataclass(frozen=True)
class TestOptions:
    """On which episodes; what is not said is as in training."""

    tasks: str | None = None
    """Other tasks than the run's: glyphs, omniglot, lake-runs, mnist, folder:PATH …"""
    way: int | None = None
    """Classes in an episode."""
    shot: int | None = None
    """Labelled examples of each class."""
    query: int | None = None
    """Test examples of each class."""
    split: str | None = None
    """Another split. By default own data is split as when the run was trained: by the names of
    its classes, which it has kept."""
    rotations: Literal["none", "classes", "episode"] | None = None
    """Other rotations."""
    within: bool | None = None
    """Whether all classes of an episode are of one group."""
    verify: bool | None = None
    """Whether to ask of pairs if they are of one class."""
    labelled: float | None = None
    """Share of each class's support examples that carry a label."""
    anywhere: bool | None = None
    """Whether that share is of all support examples together: some classes may have no label."""
    distractors: int | None = None
    """Classes that are not in the episode, of which it has unlabelled examples all the same."""
    sequence: int | None = None
    """Sequences of so many examples, each predicted before its label is told; 0 for support and
    query sets."""
    ask: Literal["random", "uncertainty", "learned"] | None = None
    """Ask for labels that are hidden: any, those that the learner is least certain of, or those
    that it has learned to ask for."""
    asked: int = 1
    """How many labels are asked for, with --ask."""
    part: Literal["test", "validation", "train"] = "test"
    """Which classes of the split."""
    episodes: int = 1000
    """How many episodes."""
    seed: int = 0
    """Which episodes: the same seed gives any learner the same ones."""

    def __post_init__(self):
        at_least(self, asked=1, episodes=2, seed=0)
        if self.ask is None and self.asked != 1:
            raise UserError(f"--asked {self.asked}: say how to choose them: --ask random, or …")


def test_tasks(options: TestOptions, settings: RunSettings) -> TaskSettings:
    """The run's tasks with what the options change."""
    own = {
        f.name: getattr(options, f.name)
        for f in dataclasses.fields(TaskSettings)
        if hasattr(options, f.name)
    }
    changed: dict[str, Any] = {k: v for k, v in own.items() if v is not None}
    if options.tasks is not None and options.tasks != settings.tasks.tasks:
        changed = {"split": None, "classes": None, "rotations": None, "ink": "auto", **changed}
        if options.tasks in WITHOUT_CLASSES:
            changed = {**defaults_of_classes(), **changed}
    if options.split is not None:
        changed["classes"] = None
    return dataclasses.replace(settings.tasks, **changed)


def asking_of(options: TestOptions) -> Asking | None:
    """Which labels are asked for, if any."""
    return Asking(options.ask, options.asked) if options.ask else None


@dataclass(frozen=True)
class Evaluate:
    """Accuracy (or squared error) with its 95 % interval over episodes, negative log-likelihood,
    and calibration error of a trained run, on classes that it has not seen. Of several seeds also
    the mean over them, with a 95 % interval over trainings and episodes together, and the standard
    deviation over trainings."""

    run: tyro.conf.Positional[Path]
    """The folder of a finished run, or of several seeds."""
    test: Annotated[TestOptions, tyro.conf.OmitArgPrefixes]
    normalisation: tuple[Literal["batch", "support", "running"], ...] = ()
    """Whose batch statistics normalise queries: `batch support` gives the transductive and the
    inductive figure. By default the learner's own."""
    test_steps: int | None = None
    """Inner steps, for learners that take some."""
    searched: bool = False
    """With the options that quickstudy search found best on validation classes."""
    json: bool = False
    """Print JSON."""


def run(words: list[str]) -> int:
    """The command."""
    options = read(Evaluate, words, "quickstudy evaluate")

    from quickstudy.runs.evidence import command, provenance
    from quickstudy.runs.search import best_options
    from quickstudy.runs.wiring import load_seeds, measure_seeds

    fixed = best_options(options.run) if options.searched else {}
    if options.test_steps is not None:
        fixed["test_steps"] = options.test_steps
    variants = [{**fixed, "normalisation": mode} for mode in options.normalisation] or [fixed]
    results: list[Result] = []
    shown: list[tuple[str, Result]] = []
    for variant in variants:
        loaded = load_seeds(options.run, **variant)
        settings = next(iter(loaded.values()))[0]
        result, each = measure_seeds(
            loaded,
            tasks=test_tasks(options.test, settings),
            part=options.test.part,
            episodes=options.test.episodes,
            seed=options.test.seed,
            asking=asking_of(options.test),
        )
        results.append(result)
        name = settings.learner.name
        if len(each) > 1:
            shown += [(f"{name}, seed {seed}", r) for seed, r in each.items()]
            name += f", mean of {len(each)}"
        shown.append((name, result))
    if options.json:
        evidence = {"command": command(), "run": str(options.run), **provenance()}
        show.as_json({**evidence, "results": [r.summary() for r in results]})
        return 0
    columns = list(show.RESULT_COLUMNS)
    columns[1] = show.unit(results[0].headline)
    show.table(str(options.run), columns, [show.result_row(*each) for each in shown], figures=True)
    show.presentations(shown)
    show.intervals({name: result.estimate().covers for name, result in shown})
    for result in results:
        show.deviation(result)
    show.protocol(results[0].protocol)
    return 0
