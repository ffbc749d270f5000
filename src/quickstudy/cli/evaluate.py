"""quickstudy evaluate RUN: figures on unseen classes, with the protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import described_options, read
from quickstudy.data.registry import kind_of
from quickstudy.errors import UserError
from quickstudy.numbers import FALSE_ALARMS, at_least, require_rate
from quickstudy.settings.run import Asking, RunSettings, TaskSettings, defaults_of_classes

if TYPE_CHECKING:
    from quickstudy.evaluation import Result


CHANGED = (
    *("tasks", "way", "shot", "query", "split", "rotations", "proportional", "within", "verify"),
    *("labelled", "anywhere", "distractors", "sequence", "embed"),
)
"""The options of tasks that a test may change."""


def changes() -> list[tuple[str, Any, None]]:
    """The `CHANGED` options as fields: each with its own words, None where nothing is said."""
    kinds = get_type_hints(TaskSettings)
    words = {**described_options(TaskSettings), "tasks": "Other tasks than the run's."}
    return [
        (name, Annotated[kinds[name] | None, tyro.conf.arg(help=in_a_test(words[name]))], None)
        for name in CHANGED
    ]


def in_a_test(words: str) -> str:
    """What to say of an option whose default is that of the training."""
    return f"{words.partition(' By default')[0]} By default as in training."


TestTasks: Any = dataclasses.make_dataclass("TestTasks", changes(), frozen=True)
"""The options of the tasks of a test; what is None is as in training."""


@dataclass(frozen=True)
class TestOptions(TestTasks):
    """On which episodes."""

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
    said = {name: getattr(options, name) for name in CHANGED}
    changed: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    if (other := changed.get("tasks", settings.tasks.tasks)) != settings.tasks.tasks:
        changed = {**not_of(other), **changed}
    elif "split" in changed:
        changed["classes"] = None
    return dataclasses.replace(settings.tasks, **changed)


OF_ONE_DATA_SET = ("split", "classes", "rotations", "ink", "skip_small_classes", "place")
"""Options of tasks that say something of one data set alone."""
OF_A_TABLE = ("task_column", "target", "time_column")


def not_of(tasks: str) -> dict[str, Any]:
    """The options that a run has of its own data and that do not suit other `tasks`, each with its
    default."""
    kind = kind_of(tasks)
    names = (
        *OF_ONE_DATA_SET,
        *(() if kind.embeds else ("embed",)),
        *(() if tasks.startswith("table:") else OF_A_TABLE),
        *(() if kind.has_classes or kind.test_only else defaults_of_classes()),
    )
    return {f.name: f.default for f in dataclasses.fields(TaskSettings) if f.name in names}


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
    open_set: bool = False
    """Also ask about as many examples of classes that are not in the episode: the AUROC of the
    score by which they are told, the share of known examples that are called unknown (false
    alarms), and the share of unknown ones that are not (misses)."""
    false_alarms: float | None = None
    """With --open-set: the rate of false alarms to aim at, .05 by default. The threshold comes
    from validation classes."""
    searched: bool = False
    """With the options that quickstudy search found best on validation classes."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self):
        if self.open_set and self.test.ask:
            raise UserError("--ask does not go with --open-set: leave one out")
        if self.false_alarms is not None:
            if not self.open_set:
                raise UserError("--false-alarms is about unknown classes: add --open-set")
            require_rate(self.false_alarms)

    @property
    def rate(self) -> float | None:
        """Of false alarms to aim at; None where no unknown classes are asked about."""
        if not self.open_set:
            return None
        return FALSE_ALARMS if self.false_alarms is None else self.false_alarms


def run(words: list[str]) -> int:
    """The command."""
    options = read(Evaluate, words, "quickstudy evaluate")

    from quickstudy.runs.by_example import by_class
    from quickstudy.runs.evidence import command, provenance
    from quickstudy.runs.measure import as_read, measure_opponents, measure_seeds
    from quickstudy.runs.opponents import verdict
    from quickstudy.runs.saved import open_seeds
    from quickstudy.runs.search import best_options

    saved = open_seeds(options.run)
    settings = next(iter(saved.values())).settings
    fixed = best_options(options.run) if options.searched else {}
    if options.test_steps is not None:
        fixed["test_steps"] = options.test_steps
    variants = [{**fixed, "normalisation": mode} for mode in options.normalisation] or [fixed]
    where: dict[str, Any] = {
        "tasks": test_tasks(options.test, settings),
        "part": options.test.part,
        "episodes": options.test.episodes,
        "seed": options.test.seed,
        "open_set": options.rate,
    }
    asking = asking_of(options.test)
    results: list[Result] = []
    shown: list[tuple[str, Result]] = []
    for variant in variants:
        result, each = measure_seeds(saved, variant, asking=asking, by_example=True, **where)
        results.append(result)
        name = settings.learner.name
        if len(each) > 1:
            shown += [(f"{name}, seed {seed}", r) for seed, r in each.items()]
            name += f", mean of {len(each)}"
        shown.append((name, result))
    free = {} if asking else measure_opponents(next(iter(saved.values())), **where)
    verdicts = {name: verdict(name, result, free) for name, result in shown if free}
    tasks = as_read(settings, where["tasks"])
    if options.json:
        evidence = {"command": command(), "run": str(options.run), **provenance()}
        found = {
            **evidence,
            "results": [as_json(r, tasks, where["part"]) for r in results],
        }
        if free:
            found["opponents"] = {name: result.summary() for name, result in free.items()}
            found["verdicts"] = verdicts
        show.as_json(found)
        return 0
    show_results(str(options.run), results, [*shown, *free.items()], verdicts)
    classes = by_class(results[0], tasks, where["part"])
    show.hardest_classes(shown[0][0] if len(results) > 1 else "", classes)
    show.protocol(results[0].protocol)
    return 0


def as_json(result: Result, tasks: TaskSettings, part: str) -> dict[str, Any]:
    """The summary of a result; on the user's own classes with figures by class and predictions by
    example."""
    from quickstudy.runs.by_example import by_class, predictions

    found = result.summary()
    if classes := by_class(result, tasks, part):
        found["by_class"] = [of._asdict() for of in classes]
        found["predictions"] = predictions(result, tasks, part)
    return found


def show_results(
    run: str,
    results: Sequence[Result],
    shown: Sequence[tuple[str, Result]],
    verdicts: Mapping[str, str],
) -> None:
    """The tables of the results of a run and all that is `shown` beside, by name, and what the
    figures mean."""
    columns = list(show.RESULT_COLUMNS)
    columns[1] = show.unit(results[0].headline)
    show.table(run, columns, [show.result_row(*each) for each in shown], figures=True)
    show.presentations(shown)
    show.open_set(shown)
    show.balanced(shown)
    show.intervals({name: result.estimate().covers for name, result in shown})
    for result in results:
        show.deviation(result)
        show.root_error(result)
    for sentence in verdicts.values():
        show.line(sentence)
