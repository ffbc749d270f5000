"""From the folder of a run to what its report shows: a function for each section.

write(Path("runs/omniglot"))                       # runs/omniglot/report.html
write_comparison(runs, comparison, Path("demo/report.html"))
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy import checkpoint
from quickstudy.evaluation import Comparison, Result
from quickstudy.learner import Learner, Predictor
from quickstudy.learners.adapted import NetworkPredictor
from quickstudy.learners.metric.protonet import Prototypes
from quickstudy.learners.metric.tadam import ScaledPrototypes
from quickstudy.networks import WithHead
from quickstudy.progress import progress
from quickstudy.recipes import wiring
from quickstudy.recipes.evidence import provenance
from quickstudy.recipes.settings import RunSettings, TaskSettings
from quickstudy.recipes.tasks import class_names, episode_tasks, grouped
from quickstudy.report.data import (
    Calibration,
    Confusion,
    Curve,
    CurveEpisode,
    Embedding,
    ImageEpisode,
    Line,
    ReportData,
    Row,
    Sweep,
)
from quickstudy.report.page import write_report
from quickstudy.task import Episode, task_keys
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.tasks.source import ClassSource, distinct
from quickstudy.tasks.zero_shot import ZeroShot

INNER_STEPS = (0, 1, 2, 3, 5, 10)
SHOTS = (1, 2, 3, 5, 10)
SWEEP_EPISODES = 100
CONFUSED_CLASSES = 20
CONFUSED_EPISODES = 200
CONFUSED_PAIRS = 6
GRID = 400
"""Points that a curve is drawn with."""


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, opened."""

    path: Path
    name: str
    settings: RunSettings
    learner: Learner

    @staticmethod
    def open(path: Path, name: str | None = None, **options: Any) -> Run:
        """Raises `UserError` as `load_learner` does; the `options` are its own."""
        settings, _, learner = wiring.load_learner(path, **options)
        return Run(path, name or settings.learner.name, settings, learner)

    def having(self, **options: Any) -> Run:
        """The same with other options of the learner."""
        return Run.open(self.path, self.name, **options)

    def offers(self, option: str) -> bool:
        """Whether its learner has such an option."""
        return any(field.name == option for field in fields(self.settings.learner))

    @property
    def tasks(self) -> FewShot | ZeroShot | Sinusoid:
        """The test tasks."""
        t = replace(self.settings.tasks, verify=False)
        tasks = episode_tasks(t, "test", t.way, t.shot, t.query)
        assert isinstance(tasks, FewShot | ZeroShot | Sinusoid)
        return tasks

    def measure(self, episodes: int, seed: int, tasks: TaskSettings | None = None) -> Result:
        """On its own way and shot, or those of `tasks`."""
        return wiring.measure(
            self.settings,
            self.learner,
            tasks=tasks,
            episodes=episodes,
            seed=seed,
            show_progress=False,
        )


def write(run: Path, out: Path | None = None) -> Path:
    """Write the report of a run to `out`, by default `report.html` in its folder; the path.

    Raises `UserError` where `run` is no finished run or the page cannot be written.
    """
    page = out or run / "report.html"
    write_report(page, collect(run))
    return page


def write_comparison(runs: Mapping[str, Path], comparison: Comparison, out: Path) -> Path:
    """Write the report of several runs to `out`; the path."""
    write_report(out, compare_report(runs, comparison))
    return out


def collect(
    run: Path, *, episodes: int = 200, seed: int = 0, show_progress: bool = True
) -> ReportData:
    """All that a report shows of one run, measured on `episodes` test episodes.

    >>> collect(Path("runs/omniglot")).title
    'protonet on omniglot, 5-way 1-shot'
    """
    opened = Run.open(run)
    with progress("report", 5, show=show_progress) as reporter:
        result = opened.measure(episodes, seed)
        results = {opened.name: result, **other_mode(opened, episodes, seed)}
        reporter.at(1)
        episode, embedding = drawn(opened, seed)
        reporter.at(2)
        sweeps = [*steps_sweep(opened, seed), *shots_sweep(opened, seed)]
        reporter.at(4)
        confusions = confused(opened, seed)
        reporter.at(5)
    return ReportData(
        title=f"{opened.name} on {subject(opened.settings.tasks)}",
        metric=result.headline,
        episodes=episodes,
        higher_is_better=result.higher_is_better,
        chance=chance(opened),
        rows=rows(Comparison(results)),
        protocol=protocol(opened, result),
        curves=curves({opened.name: run}, result.headline),
        episode=episode,
        sweeps=sweeps,
        calibration=[Calibration.from_sums(name, r.bins) for name, r in results.items()],
        embedding=embedding,
        confusions=confusions,
    )


def compare_report(runs: Mapping[str, Path], comparison: Comparison) -> ReportData:
    """All that a report shows of several runs, measured already on the same episodes. The
    episode, the embedding and the confusions are those of the best learner."""
    comparison = best_first(comparison)
    results = comparison.results
    result = results[comparison.best]
    best = Run.open(runs[comparison.best], comparison.best)
    seed = result.protocol["seed"]
    episode, embedding = drawn(best, seed)
    own = ("learner", "batch norm", "steps at test")
    shared = {k: v for k, v in protocol(best, result).items() if k not in own}
    return ReportData(
        title=f"{len(runs)} learners on {subject(best.settings.tasks)}",
        metric=result.headline,
        episodes=result.protocol["episodes"],
        higher_is_better=result.higher_is_better,
        chance=chance(best),
        rows=rows(comparison),
        protocol={"episode drawn with": best.name, **shared},
        curves=curves(runs, result.headline),
        episode=episode,
        calibration=[Calibration.from_sums(name, r.bins) for name, r in results.items()],
        embedding=embedding,
        confusions=confused(best, seed),
    )


def subject(tasks: TaskSettings) -> str:
    """The tasks in a few words.

    >>> subject(TaskSettings("folder:data/birds", way=5, shot=1))
    'birds, 5-way 1-shot'
    """
    kind, _, path = tasks.tasks.partition(":")
    data = Path(path).name or kind
    if kind == "sinusoid":
        return f"{data}, {tasks.shot} points"
    if kind == "synthetic-tables":
        return f"{data}, up to {tasks.way} classes and {tasks.way * tasks.shot} examples"
    if tasks.sequence:
        return f"{data}, sequences of {tasks.sequence} of {tasks.way} classes"
    return f"{data}, {tasks.way}-way {tasks.shot}-shot"


def chance(run: Run) -> float | None:
    """The accuracy of guessing; None for real targets."""
    return None if isinstance(run.tasks, Sinusoid) else 1 / run.tasks.way


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


def other_mode(run: Run, episodes: int, seed: int) -> dict[str, Result]:
    """An inductive run's figures with the queries' own batch statistics, and the reverse; by
    name. Empty where there is no batch normalisation, or no choice."""
    chosen = getattr(run.settings.learner, "normalisation", None)
    if chosen is None or wiring.batch_norm_words(run.learner) == "none":
        return {}
    whose = "support" if chosen == "batch" else "batch"
    other = run.having(normalisation=whose)
    return {f"{run.name}, {whose} statistics": other.measure(episodes, seed)}


def protocol(run: Run, result: Result) -> dict[str, Any]:
    """What was measured, and with what it was trained and measured."""
    header = checkpoint.read_header(run.path / wiring.LEARNER_FILE)
    training = run.settings.to_json()["training"]
    wanted = ("steps", "meta_batch", "learning_rate", "decay", "seed")
    t = run.settings.tasks
    words = {
        "training": {word.replace("_", " "): training[word] for word in wanted},
        "training episodes": f"{t.train_way}-way {t.train_shot}-shot, {t.train_query} queries",
        "trained at commit": header.get("provenance", {}).get("commit"),
    }
    return {**result.protocol, **{k: v for k, v in words.items() if v}, **provenance()}


def curves(runs: Mapping[str, Path], metric: str) -> list[Curve]:
    """What the runs logged; those that took no steps have no curve."""
    found = []
    for name, run in runs.items():
        log = run / "metrics.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        logged = [json.loads(line) for line in lines if line.endswith("}")]
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


def line(name: str, settings: list[int], results: list[Result]) -> Line:
    """Results at several settings."""
    estimates = [result.estimate() for result in results]
    return Line(
        name,
        np.array(settings),
        np.array([e.mean for e in estimates]),
        np.array([e.half_width for e in estimates]),
    )


def steps_sweep(run: Run, seed: int) -> list[Sweep]:
    """The headline metric after more or fewer inner steps, for learners that take them."""
    if not run.offers("test_steps"):
        return []
    results = [run.having(test_steps=s).measure(SWEEP_EPISODES, seed) for s in INNER_STEPS]
    return [Sweep("inner steps", [line(run.name, list(INNER_STEPS), results)])]


def shots_sweep(run: Run, seed: int) -> list[Sweep]:
    """Accuracy with more or fewer labelled support examples, as many as there are."""
    tasks = replace(run.settings.tasks, labelled=1.0, distractors=0)
    most = most_shots(tasks)
    shots = [shot for shot in SHOTS if shot <= most]
    results = [run.measure(SWEEP_EPISODES, seed, replace(tasks, shot=shot)) for shot in shots]
    return [Sweep("shots", [line(run.name, shots, results)])] if len(shots) > 1 else []


def most_shots(tasks: TaskSettings) -> int:
    """How many support examples every test class can give beside its queries; 0 for tasks that
    are not classification, from descriptions, or sequences."""
    kind = tasks.tasks.partition(":")[0]
    if kind in ("sinusoid", "synthetic-tables") or tasks.zero_shot or tasks.sequence:
        return 0
    if kind in ("glyphs", "penn-treebank"):
        return max(SHOTS)
    return int(grouped(tasks)["test"].count.min()) - tasks.query


def drawn(run: Run, seed: int) -> tuple[ImageEpisode | CurveEpisode | None, Embedding | None]:
    """The first of the test episodes as the learner meets it, and its queries' features."""
    for_task, for_learner = task_keys(jax.random.key(seed), 0)
    tasks = run.tasks
    if isinstance(tasks, Sinusoid):
        return drawn_curve(run, tasks, for_task, for_learner), None
    if not isinstance(tasks, FewShot):
        return None, None
    called = class_names(run.settings.tasks, "test")
    classes, task, probabilities, features, prototypes = jax.device_get(
        _look(run.learner, tasks, for_task, for_learner)
    )
    names = [called(int(label)) for label in classes]
    embedding = None if features is None else embedded(names, features, task.query.y, prototypes)
    if not is_image(task.query.x.shape[1:]):
        return None, embedding
    episode = ImageEpisode(
        names=names,
        support_images=shown(task.support.x),
        support_labels=task.support.y,
        query_images=shown(task.query.x),
        query_labels=task.query.y,
        probabilities=probabilities,
    )
    return episode, embedding


@eqx.filter_jit
def _look(
    learner: Learner, tasks: FewShot, for_task: PRNGKeyArray, for_learner: PRNGKeyArray
) -> tuple[Array, Episode, Array, Array | None, Array | None]:
    """The classes of an episode; the episode; of its queries, p(class) and features; and the
    classes' prototypes."""
    task = tasks.sample(for_task)
    predictor = learner.adapt(task.support, task.likelihood, key=for_learner)
    probabilities = jax.nn.softmax(predictor(task.query.x))
    features = features_of(predictor, task.query.x)
    return tasks.chosen(for_task)[0], task, probabilities, *features


def features_of(predictor: Predictor, x: Array) -> tuple[Array | None, Array | None]:
    """What a predictor's network makes of inputs before it says a class, (n, d), and prototypes
    in that space, (classes, d). None for those that it has not."""
    if isinstance(predictor, Prototypes | ScaledPrototypes):
        return predictor.network(x, predictor.statistics)[0], predictor.prototypes
    if isinstance(predictor, NetworkPredictor) and isinstance(predictor.network, WithHead):
        return predictor.network.body(x, predictor.statistics)[0], None
    return None, None


def embedded(
    names: list[str],
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    prototypes: Float[np.ndarray, "way d"] | None,
) -> Embedding | None:
    """Features and prototypes on the first two principal components of the features; None
    where they have less than two."""
    middle = features.mean(0)
    _, sizes, directions = np.linalg.svd(features - middle, full_matrices=False)
    if len(sizes) < 2 or not sizes[0] > 0:
        return None
    plane = directions[:2].T
    return Embedding(
        names=names,
        points=(features - middle) @ plane,
        labels=labels,
        prototypes=None if prototypes is None else (prototypes - middle) @ plane,
        explained=float(np.sum(sizes[:2] ** 2) / np.sum(sizes**2)),
    )


def drawn_curve(
    run: Run, tasks: Sinusoid, for_task: PRNGKeyArray, for_learner: PRNGKeyArray
) -> CurveEpisode:
    """A sine curve, and what the learner makes of it before and after adapting."""
    task = Sinusoid(tasks.shot, GRID).sample(for_task)
    order = np.argsort(np.asarray(task.query.x[:, 0]))
    if run.offers("test_steps"):
        most = max(1, run.learner.test_steps)  # pyright: ignore[reportAttributeAccessIssue]
        learners = {
            "before adapting": run.having(test_steps=0).learner,
            "after 1 step": run.having(test_steps=1).learner,
            f"after {max(most, 10)} steps": run.having(test_steps=max(most, 10)).learner,
        }
    else:
        learners = {run.name: run.learner}
    predictions = {}
    for name, learner in learners.items():
        predictions[name] = np.asarray(_curve(learner, task, for_learner))[order, 0]
    return CurveEpisode(
        support_x=np.asarray(task.support.x[:, 0]),
        support_y=np.asarray(task.support.y[:, 0]),
        x=np.asarray(task.query.x[:, 0])[order],
        truth=np.asarray(task.query.y[:, 0])[order],
        predictions=predictions,
    )


@eqx.filter_jit
def _curve(learner: Learner, task: Episode, key: PRNGKeyArray) -> Float[Array, "n size"]:
    """Predictions of an episode's queries."""
    return learner.adapt(task.support, task.likelihood, key=key)(task.query.x)


class Chosen(ClassSource):
    """A few classes of a source."""

    classes: int = eqx.field(static=True)
    source: ClassSource
    labels: Int[Array, " classes"]

    def draw(self, key, label, count):
        return self.source.draw(key, self.labels[label], count)

    def protocol(self) -> dict[str, Any]:
        return {**self.source.protocol(), "classes": self.classes}


def confused(run: Run, seed: int) -> list[Confusion]:
    """Which of twenty fixed test classes are most often taken for which, over many episodes."""
    tasks = run.tasks
    if not isinstance(tasks, FewShot):
        return []
    key = jax.random.key(seed)
    count = min(CONFUSED_CLASSES, tasks.source.classes)
    labels, examples = jax.device_get(_some_classes(tasks.source, key, count))
    few = FewShot(
        Chosen(count, tasks.source, jnp.asarray(labels)), tasks.way, tasks.shot, tasks.query
    )
    classes, taken = jax.device_get(_mistakes(run.learner, few, key))
    confusion = np.zeros((count, count), int)
    total = np.zeros((count, count), int)
    for present, counts in zip(classes, taken, strict=True):
        confusion[np.ix_(present, present)] += counts
        total[np.ix_(present, present)] += counts.sum(1, keepdims=True)
    np.fill_diagonal(confusion, 0)
    share = confusion / np.maximum(total, 1)
    worst = np.argsort(share, axis=None, kind="stable")[::-1][:CONFUSED_PAIRS]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(worst, share.shape), strict=True)]
    called = class_names(run.settings.tasks, "test")
    pictures = shown(examples) if is_image(examples.shape[1:]) else [None] * count
    return [
        Confusion(
            true=called(int(labels[true])),
            predicted=called(int(labels[predicted])),
            count=int(confusion[true, predicted]),
            total=int(total[true, predicted]),
            true_image=pictures[true],
            predicted_image=pictures[predicted],
        )
        for true, predicted in pairs
        if confusion[true, predicted] > 0
    ]


@eqx.filter_jit
def _some_classes(
    source: ClassSource, key: PRNGKeyArray, count: int
) -> tuple[Int[Array, " count"], Float[Array, "count ..."]]:
    """Some classes, and an example of each."""
    labels = distinct(key, source.classes, count)
    return labels, jax.vmap(lambda label: source.draw(key, label, 1)[0])(labels)


@eqx.filter_jit
def _mistakes(
    learner: Learner, tasks: FewShot, key: PRNGKeyArray
) -> tuple[Int[Array, "episodes way"], Int[Array, "episodes way way"]]:
    """For each of many episodes its classes, and how many queries of each were taken for each."""

    def one(index):
        for_task, for_learner = task_keys(key, index)
        task = tasks.sample(for_task)
        predictor = learner.adapt(task.support, task.likelihood, key=for_learner)
        guess = jnp.argmax(predictor(task.query.x), -1)
        counts = jnp.zeros((tasks.way, tasks.way), int).at[task.query.y, guess].add(1)
        return tasks.chosen(for_task)[0], counts

    return jax.lax.map(one, jnp.arange(CONFUSED_EPISODES))


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether inputs of this shape can be drawn."""
    return len(shape) == 3 and shape[-1] in (1, 3, 4)


def shown(x: np.ndarray) -> Float[np.ndarray, "n H W C"]:
    """Images in [0, 1], whatever numbers they were."""
    x = np.asarray(x, np.float32)
    low, high = min(0.0, float(x.min())), max(1.0, float(x.max()))
    return (x - low) / (high - low)
