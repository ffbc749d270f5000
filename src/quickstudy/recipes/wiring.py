"""Data, networks, learners and training put together: the only place that knows them all."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from quickstudy import checkpoint
from quickstudy.datasets import arrays, folder, omniglot, packed, table
from quickstudy.datasets.grouped import Grouped, read_split, split, standardise
from quickstudy.datasets.images import ImageFormat
from quickstudy.devices import from_first_process, is_first_process
from quickstudy.errors import UserError, nearest
from quickstudy.evaluation import Result, average, evaluate
from quickstudy.learner import AskingLearner, Learner
from quickstudy.likelihood import Categorical, Gaussian, Likelihood
from quickstudy.recipes.evidence import provenance
from quickstudy.recipes.settings import (
    Asking,
    LearnerSettings,
    Problem,
    RunSettings,
    TaskSettings,
    TrainingSettings,
    optax_optimizer,
    run_file,
    seeds_in,
)
from quickstudy.record import Record
from quickstudy.task import Episode, TaskDistribution
from quickstudy.tasks.asking import Asked, AsLearned, AtRandom, LeastCertain
from quickstudy.tasks.few_shot import ArraySource, Batches, FewShot, RotationMode, rotated
from quickstudy.tasks.glyphs import Glyphs, glyph_splits
from quickstudy.tasks.mapped import MappedSource
from quickstudy.tasks.partly_labelled import PartlyLabelled
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.tasks.source import ClassSource
from quickstudy.training import SECONDS_PER_CHECKPOINT, SeedRun, Validation, meta_train_seeds

KINDS = ("glyphs", "omniglot", "sinusoid", "folder:PATH", "npz:PATH", "table:PATH", "packed:FOLDER")

OWN = ("folder", "npz", "table", "packed")
"""The user's own data."""

CLASSES_OF_A_CLASSIFIER = 200
"""Glyphs are endless; a classifier of all training classes gets this many."""

LEARNER_FILE = "learner.qs"


def image_format(tasks: TaskSettings) -> ImageFormat:
    """What the user's own images become."""
    return ImageFormat(tasks.image_size, 3 if tasks.color else 1, ink=not tasks.color)


def read_own(tasks: TaskSettings, kind: str, path: Path) -> Grouped:
    """The user's own examples: a folder of images, packed or not, an npz archive, or a table."""
    if kind == "folder":
        return folder.load(path, image_format(tasks))
    if kind == "npz":
        return arrays.load(path)
    if kind == "packed":
        return packed.load(path)
    return table.load(path, tasks.label_column)


def grouped(tasks: TaskSettings) -> dict[str, Grouped]:
    """Real data by split."""
    chosen = (tasks.tasks, tasks.split, tasks.split_seed, tasks.image_size, tasks.color)
    return _grouped(*chosen, tasks.label_column)


@functools.lru_cache(maxsize=4)
def _grouped(*chosen: Any) -> dict[str, Grouped]:
    """`grouped`, read once for each choice."""
    words = ("tasks", "split", "split_seed", "image_size", "color", "label_column")
    tasks = TaskSettings(**dict(zip(words, chosen, strict=True)))
    kind, _, path = tasks.tasks.partition(":")
    if kind == "omniglot":
        return omniglot.load(tasks.image_size).split(tasks.split or "vinyals")
    everything = read_own(tasks, kind, Path(path))
    if tasks.split is None:
        parts = split(everything, seed=tasks.split_seed)
    else:
        parts = read_split(everything, Path(tasks.split))
    return standardise(parts) if everything.x.ndim == 2 else parts


def rotation_mode(tasks: TaskSettings) -> RotationMode:
    """What was asked for; by default rotations are classes of their own on Omniglot alone."""
    return tasks.rotations or ("classes" if tasks.tasks == "omniglot" else "none")


def source_of(examples: Grouped, words: dict[str, Any]) -> ClassSource:
    """Examples to draw, from memory or from the file that they lie in."""
    x, first, count = examples.x, examples.first, examples.count
    if isinstance(x, np.memmap):
        return MappedSource(x, first, count, words)
    return ArraySource(x, first, count, words)


def sources(tasks: TaskSettings) -> dict[str, ClassSource] | None:
    """Training, validation and test classes; None for tasks that are not classification.

    Raises `UserError` for tasks that there are not, with the nearest names.
    """
    kind, _, path = tasks.tasks.partition(":")
    if kind == "sinusoid":
        return None
    if kind == "glyphs":
        made: dict[str, ClassSource] = {**glyph_splits(tasks.image_size)}
    elif kind == "omniglot" or (kind in OWN and path):
        parts = grouped(tasks)
        named = "vinyals" if kind == "omniglot" else f"random, seed {tasks.split_seed}"
        made = {
            part: source_of(g, {"data": tasks.tasks, "split": tasks.split or named, "part": part})
            for part, g in parts.items()
        }
    else:
        raise UserError(f"there are no tasks {tasks.tasks!r}: {nearest(kind, list(KINDS))}")
    rotations = rotation_mode(tasks)
    shape = input_shape(made["train"])
    if rotations != "none" and (len(shape) != 3 or shape[0] != shape[1]):
        raise UserError(f"--rotations turns square images; these inputs are {shape}")
    return {part: rotated(source, rotations) for part, source in made.items()}


def class_names(tasks: TaskSettings, part: str) -> Callable[[int], str]:
    """The name of each class of a split, by its label in the (rotated) source."""
    kind = tasks.tasks.partition(":")[0]
    if kind == "glyphs":
        first = glyph_splits()[part].first  # pyright: ignore[reportArgumentType]
        return lambda label: f"glyph {int(first) + label}"
    names = grouped(tasks)[part].names
    if rotation_mode(tasks) == "classes":
        return lambda label: f"{names[label // 4]} turned {label % 4 * 90}°"
    return lambda label: names[label]


def input_shape(source: ClassSource) -> tuple[int, ...]:
    """Of one example."""
    drawn = jax.eval_shape(lambda key: source.draw(key, jnp.asarray(0), 1), jax.random.key(0))
    return drawn.shape[1:]


def require(tasks: TaskSettings, part: str, way: int, examples: int) -> None:
    """Raise `UserError` unless the classes of `part` allow such episodes."""
    kind = tasks.tasks.partition(":")[0]
    made = sources(tasks)
    if kind in ("glyphs", "sinusoid") or made is None:
        return
    base = grouped(tasks)[part]
    turned = made[part].classes // base.classes
    base.require(-(-way // turned), examples, f"{tasks.tasks} ({part})")


def episode_tasks(
    tasks: TaskSettings, part: str, way: int, shot: int, query: int
) -> TaskDistribution[Episode]:
    """Episodes from the classes of one split. Raises `UserError` where they are too few."""
    made = sources(tasks)
    partly = tasks.labelled < 1 or tasks.distractors > 0
    if made is None:
        if partly:
            raise UserError("--labelled and --distractors are about classes; these are curves")
        return Sinusoid(shot, query)
    require(tasks, part, way + tasks.distractors, shot + query)
    if not partly:
        return FewShot(made[part], way, shot, query, tasks.fixed_labels)
    try:
        return PartlyLabelled(
            *(made[part], way, shot, query, tasks.fixed_labels),
            labelled=round(tasks.labelled * shot),
            distractors=tasks.distractors,
        )
    except ValueError as error:
        raise UserError(f"--labelled {tasks.labelled}: {error}") from error


def asked_tasks(
    tasks: TaskDistribution[Episode], asking: Asking, learner: Learner
) -> TaskDistribution[Episode]:
    """`tasks` once labels have been asked for. Raises `UserError` where none are hidden, or the
    learner does not choose."""
    if not isinstance(tasks, PartlyLabelled):
        raise UserError(f"--ask {asking.ask}: every label is known, try --labelled 0.2")
    if asking.ask == "random":
        strategy = AtRandom()
    elif asking.ask == "uncertainty":
        strategy = LeastCertain(learner)
    elif isinstance(learner, AskingLearner):
        strategy = AsLearned(learner)
    else:
        raise UserError(
            "--ask learned: this learner has not learned to ask: take random or uncertainty"
        )
    try:
        return Asked(tasks, strategy, asking.asked)
    except ValueError as error:
        raise UserError(f"--asked {asking.asked}: {error}") from error


def problem_of(settings: RunSettings) -> Problem:
    """What the learner is built for."""
    made = sources(settings.tasks)
    if made is None:
        return Problem((1,), Gaussian(1), None)
    source = training_source(settings, made["train"])
    return Problem(input_shape(source), Categorical(settings.tasks.way), source.classes)


def training_source(settings: RunSettings, source: ClassSource) -> ClassSource:
    """All training classes, but no more than a classifier of them can hold."""
    if not settings.learner.episodic and isinstance(source, Glyphs):
        return dataclasses.replace(source, classes=CLASSES_OF_A_CLASSIFIER)
    return source


def training_tasks(settings: RunSettings) -> TaskDistribution[Episode]:
    """Episodes of the training classes, or batches of them for a learner that takes those."""
    t = settings.tasks
    assert t.train_way is not None
    assert t.train_shot is not None
    assert t.train_query is not None
    made = sources(t)
    if settings.learner.episodic or made is None:
        episodes = episode_tasks(t, "train", t.train_way, t.train_shot, t.train_query)
        return settings.learner.grouped(episodes)
    require(t, "train", 2, 1)
    return Batches(training_source(settings, made["train"]), t.train_query)


def outer_optimizer(training: TrainingSettings) -> optax.GradientTransformation:
    """What takes the meta-steps, with the decay asked for."""
    assert training.learning_rate is not None
    assert training.meta_optimizer is not None
    rate: float | optax.Schedule = training.learning_rate
    steps = training.steps or 1
    if training.decay == "halve":
        rate = optax.exponential_decay(rate, training.halve_every, 0.5, staircase=True)
    elif training.decay == "cosine":
        rate = optax.cosine_decay_schedule(rate, steps)
    elif training.decay == "linear":
        rate = optax.linear_schedule(rate, 0.0, steps)
    return optax_optimizer(training.meta_optimizer, rate)


def build(settings: LearnerSettings, problem: Problem, seed: int) -> Learner:
    """The untrained learner."""
    return settings.build(problem, jax.random.fold_in(jax.random.key(seed), 2**31 - 1))


def train(
    settings: RunSettings,
    run: Path,
    *,
    devices: int | None = None,
    checkpoint_seconds: float = SECONDS_PER_CHECKPOINT,
    show_progress: bool = True,
) -> Learner:
    """Train in the folder `run`, or go on there, and leave the learner in `learner.qs`.

    Raises `UserError` for what the user can put right, `TrainingStopped` after a signal.
    """
    [learner] = _train(
        settings,
        {settings.training.seed: run},
        devices=devices,
        checkpoint_seconds=checkpoint_seconds,
        show_progress=show_progress,
    )
    return learner


def train_seeds(
    settings: RunSettings,
    runs: Mapping[int, Path],
    *,
    devices: int | None = None,
    checkpoint_seconds: float = SECONDS_PER_CHECKPOINT,
    show_progress: bool = True,
) -> None:
    """`train` from each of several seeds, together where that pays, in a folder each. Those that
    are finished are left as they are.

    Raises as `train` does.
    """
    finished = from_first_process(
        np.asarray([(run / LEARNER_FILE).exists() for run in runs.values()])
    )
    rest = {}
    for (seed, run), done in zip(runs.items(), finished, strict=True):
        if not done:
            rest[seed] = run
        elif is_first_process():
            Record(run, settings.with_seed(seed).resolved().to_json())  # refuses other settings
    if rest:
        _train(
            settings,
            rest,
            devices=devices,
            checkpoint_seconds=checkpoint_seconds,
            show_progress=show_progress,
        )


def _train(
    settings: RunSettings,
    runs: Mapping[int, Path],
    *,
    devices: int | None,
    checkpoint_seconds: float,
    show_progress: bool,
) -> list[Learner]:
    settings = settings.resolved()
    evidence = provenance()
    t, training = settings.tasks, settings.training
    problem = problem_of(settings)
    assert training.steps is not None
    assert training.meta_batch is not None
    assert training.validate_every is not None
    trained = meta_train_seeds(
        [
            SeedRun(
                seed,
                build(settings.learner, problem, seed),
                run,
                settings.with_seed(seed).to_json(),
            )
            for seed, run in runs.items()
        ],
        training_tasks(settings),
        outer_optimizer(training),
        steps=training.steps,
        meta_batch=training.meta_batch,
        tasks_at_once=training.tasks_at_once,
        devices=devices,
        validation=Validation(
            episode_tasks(t, "validation", t.way, t.shot, t.query),
            training.validate_every,
            training.validation_episodes,
        ),
        meta_gradient=settings.learner.meta_gradient(),
        checkpoint_seconds=checkpoint_seconds,
        show_progress=show_progress,
    )
    learners = []
    for run, learner in trained:
        learners.append(learner)
        if not is_first_process():
            continue
        assert run.folder is not None
        configuration = settings.with_seed(run.seed).to_json()
        header = {
            "configuration": configuration,
            "problem": problem_to_json(problem),
            "provenance": evidence,
            "seconds": Record(run.folder, configuration).seconds(),
        }
        checkpoint.save(run.folder / LEARNER_FILE, learner, header)
    return learners


def problem_to_json(problem: Problem) -> dict[str, Any]:
    """Plain JSON values, from which `problem_from_json` makes the problem again."""
    return {
        "shape": list(problem.shape),
        "likelihood": type(problem.likelihood).__name__,
        "size": problem.likelihood.size,
        "training_classes": problem.training_classes,
    }


def problem_from_json(found: dict[str, Any]) -> Problem:
    """The inverse of `problem_to_json`."""
    kinds: dict[str, type[Likelihood]] = {"Categorical": Categorical, "Gaussian": Gaussian}
    likelihood = kinds[found["likelihood"]](found["size"])  # pyright: ignore[reportCallIssue]
    return Problem(tuple(found["shape"]), likelihood, found["training_classes"])


class Blank(ClassSource):
    """Examples of zeros: enough to learn the structure of a settled learner."""

    shape: tuple[int, ...] = eqx.field(static=True)
    classes: int = eqx.field(static=True, default=2)

    def draw(self, key, label, count):
        return jnp.zeros((count, *self.shape))

    def protocol(self) -> dict[str, Any]:
        return {"data": "blank"}


def skeleton(settings: RunSettings, problem: Problem) -> Any:
    """The structure of the settled learner, with shapes for arrays."""

    def settled():
        learner = build(settings.learner, problem, 0)
        return learner.settle(FewShot(Blank(shape=problem.shape), 2, 1, 1), key=jax.random.key(0))

    return eqx.filter_eval_shape(settled)


def load_learner(run: Path, **options: Any) -> tuple[RunSettings, Problem, Learner]:
    """A trained run. `options` change options of the learner that training does not depend on,
    such as `normalisation` or `test_steps`.

    Raises `UserError` where `run` is no finished run, or the learner has no such option.
    """
    path = run_file(run, LEARNER_FILE)
    header = checkpoint.read_header(path)
    settings = RunSettings.from_json(header["configuration"])
    problem = problem_from_json(header["problem"])
    known = {f.name for f in dataclasses.fields(settings.learner)}
    for name in options:
        if name not in known:
            raise UserError(f"{settings.learner.name} has no --{name.replace('_', '-')}")
    settings = dataclasses.replace(
        settings, learner=dataclasses.replace(settings.learner, **options)
    )
    learner, _ = checkpoint.load(path, skeleton(settings, problem))
    return settings, problem, learner


def load_seeds(run: Path, **options: Any) -> dict[int, tuple[RunSettings, Problem, Learner]]:
    """A trained run by its seed; or all seeds that are trained in a folder of several.

    Raises `UserError` as `load_learner` does, and where they differ in more than the seed.
    """
    seeds = seeds_in(run)
    if not seeds:
        loaded = load_learner(run, **options)
        return {loaded[0].training.seed: loaded}
    found = {seed: load_learner(path, **options) for seed, path in seeds.items()}
    first = next(iter(found))
    for seed, (settings, _, _) in found.items():
        if settings.with_seed(first) != found[first][0]:
            raise UserError(
                f"{seeds[seed]} differs from {seeds[first]} in more than the seed: "
                "keep them in different folders, and compare those"
            )
    return found


def measure_seeds(
    loaded: Mapping[int, tuple[RunSettings, Problem, Learner]], **options: Any
) -> tuple[Result, dict[int, Result]]:
    """`measure` each seed on the same episodes: the `average` of several, or the result of one;
    and that of each."""
    each = {
        seed: measure(settings, learner, **options)
        for seed, (settings, _, learner) in loaded.items()
    }
    return (average(each) if len(each) > 1 else next(iter(each.values()))), each


def batch_norm_words(learner: Learner) -> str:
    """The declared mode of batch normalisation, for a protocol."""
    mode = getattr(learner, "normalisation", "running")
    normalises = any(
        getattr(leaf, "normalises", False)
        for leaf in jax.tree.leaves(
            learner, is_leaf=lambda x: x is not learner and hasattr(x, "normalises")
        )
    )
    if not normalises:
        return "none"
    return {
        "batch": "batch statistics (transductive)",
        "support": "support statistics (inductive)",
        "running": "training statistics (inductive)",
    }[mode]


def learner_protocol(settings: LearnerSettings, learner: Learner) -> dict[str, Any]:
    """The words that name a learner beside a result."""
    words: dict[str, Any] = {"learner": settings.name, "batch norm": batch_norm_words(learner)}
    for field in ("test_steps", "steps"):
        if hasattr(learner, field):
            words["steps at test"] = getattr(learner, field)
    return words


def measure(
    settings: RunSettings,
    learner: Learner,
    *,
    tasks: TaskSettings | None = None,
    part: str = "test",
    episodes: int = 1000,
    seed: int = 0,
    asking: Asking | None = None,
    show_progress: bool = True,
) -> Result:
    """`evaluate` on one split of `tasks` (by default the run's own), protocol filled in; once
    labels have been asked for, if `asking` says so.

    Raises `UserError` where the learner cannot serve those tasks.
    """
    t = tasks or settings.tasks
    distribution = episode_tasks(t, part, t.way, t.shot, t.query)
    if asking is not None:
        distribution = asked_tasks(distribution, asking, learner)
    try:
        result = evaluate(
            learner, distribution, episodes=episodes, seed=seed, show_progress=show_progress
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    words = {**result.protocol, **learner_protocol(settings.learner, learner)}
    return dataclasses.replace(result, protocol=words)
