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
from quickstudy.datasets import arrays, cub, folder, omniglot, packed, penn_treebank, table
from quickstudy.datasets.grouped import SPLITS, Grouped, read_split, split, standardise
from quickstudy.datasets.images import ImageFormat
from quickstudy.devices import from_first_process, is_first_process
from quickstudy.errors import UserError, nearest
from quickstudy.evaluation import Result, average, evaluate
from quickstudy.learner import Learner
from quickstudy.likelihood import Categorical, Gaussian, Likelihood
from quickstudy.recipes.evidence import provenance
from quickstudy.recipes.settings import (
    LearnerSettings,
    Problem,
    RunSettings,
    TaskSettings,
    TokenShape,
    TrainingSettings,
    optax_optimizer,
    run_file,
    seeds_in,
)
from quickstudy.record import Record
from quickstudy.task import Episode, TaskDistribution
from quickstudy.tasks.cloze import BlankedWords, Cloze, blanked_words, divided, vocabulary
from quickstudy.tasks.few_shot import ArraySource, Batches, FewShot, RotationMode, rotated
from quickstudy.tasks.glyphs import Glyphs, glyph_splits
from quickstudy.tasks.mapped import MappedSource
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.tasks.source import ClassSource, DescribedSource
from quickstudy.tasks.zero_shot import Described, ZeroShot
from quickstudy.training import SECONDS_PER_CHECKPOINT, SeedRun, Validation, meta_train_seeds

KINDS = (
    *("glyphs", "omniglot", "sinusoid", "penn-treebank"),
    *("folder:PATH", "npz:PATH", "table:PATH", "packed:FOLDER", "cub:FOLDER"),
)

OWN = ("folder", "npz", "table", "packed", "cub")
"""The user's own data."""

CLASSES_OF_A_CLASSIFIER = 200
"""Glyphs are endless; a classifier of all training classes gets this many."""

HELD_OUT_WORDS = (1000, 1000)
"""Words to validate and to test on, of some ten thousand (Vinyals et al. 2016, section 4.1.3)."""

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
    if kind == "cub":
        return cub.load(path)
    return table.load(path, tasks.label_column)


def grouped(tasks: TaskSettings) -> dict[str, Grouped]:
    """Real data by split."""
    chosen = (tasks.tasks, tasks.split, tasks.split_seed, tasks.image_size, tasks.color)
    parts = _grouped(*chosen, tasks.label_column)
    if tasks.train_classes is None:
        return parts
    train, wanted = parts["train"], tasks.train_classes
    if wanted > train.classes:
        raise UserError(f"--train-classes {wanted}: there are {train.classes} to train on")
    some = np.random.default_rng(0).permutation(train.classes)[:wanted]
    return {**parts, "train": train.select(np.sort(some))}


@functools.lru_cache(maxsize=4)
def _grouped(*chosen: Any) -> dict[str, Grouped]:
    """`grouped`, read once for each choice."""
    words = ("tasks", "split", "split_seed", "image_size", "color", "label_column")
    tasks = TaskSettings(**dict(zip(words, chosen, strict=True)))
    kind, _, path = tasks.tasks.partition(":")
    if kind == "omniglot":
        return omniglot.load(tasks.image_size).split(tasks.split or "vinyals")
    return split_own(read_own(tasks, kind, Path(path)), tasks)


def split_own(everything: Grouped, tasks: TaskSettings) -> dict[str, Grouped]:
    """The user's own classes by split, features standardised."""
    if tasks.split is None:
        parts = split(everything, seed=tasks.split_seed)
    else:
        parts = read_split(everything, Path(tasks.split))
    return standardise(parts) if everything.x.ndim == 2 else parts


@functools.lru_cache(maxsize=2)
def treebank_words(seed: int) -> tuple[dict[str, BlankedWords], dict[str, list[str]]]:
    """Words to blank out in each part of Penn Treebank, and their names by label."""
    text = penn_treebank.load()
    tokens = vocabulary(text.values())
    words = divided(tokens, HELD_OUT_WORDS, seed)
    made, names = {}, {}
    for part in SPLITS:
        said = {"data": "penn-treebank", "split": f"random, seed {seed}", "part": part}
        made[part], names[part] = blanked_words(text[part], words[part], tokens, said)
    return made, names


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
        if tasks.train_classes is not None:
            made["train"] = dataclasses.replace(made["train"], classes=tasks.train_classes)
    elif kind == "penn-treebank":
        made = {**treebank_words(tasks.split_seed)[0]}
    elif kind == "omniglot" or (kind in OWN and path):
        parts = grouped(tasks)
        named = "vinyals" if kind == "omniglot" else f"random, seed {tasks.split_seed}"
        made = {
            part: source_of(g, {"data": tasks.tasks, "split": tasks.split or named, "part": part})
            for part, g in parts.items()
        }
        if kind == "cub" and tasks.zero_shot:
            described = split_own(cub.attributes(Path(path)), tasks)
            made = {part: Described(source, described[part].x) for part, source in made.items()}
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
    if kind == "penn-treebank":
        words = treebank_words(tasks.split_seed)[1][part]
        return lambda label: words[label]
    names = grouped(tasks)[part].names
    if rotation_mode(tasks) == "classes":
        return lambda label: f"{names[label // 4]} turned {label % 4 * 90}°"
    return lambda label: names[label]


def input_shape(source: ClassSource) -> tuple[int, ...]:
    """Of one example."""
    drawn = jax.eval_shape(lambda key: source.draw(key, jnp.asarray(0), 1), jax.random.key(0))
    if isinstance(source, BlankedWords):
        return TokenShape(drawn.shape[1:], source.vocabulary)
    return drawn.shape[1:]


def describing(tasks: TaskSettings, source: ClassSource) -> DescribedSource:
    """A source whose classes have descriptions. Raises `UserError` where they have none."""
    if not isinstance(source, DescribedSource):
        turned = " once they are rotated" if rotation_mode(tasks) != "none" else ""
        raise UserError(
            f"the classes of {tasks.tasks} have no descriptions{turned}: --zero-shot is for "
            "glyphs and cub:FOLDER, without --rotations"
        )
    return source


def description_shape(source: DescribedSource) -> tuple[int, ...]:
    """Of the description of one class."""
    return jax.eval_shape(lambda: source.describe(jnp.asarray(0))).shape


def require_kind(settings: LearnerSettings, tasks: TaskSettings) -> None:
    """Raise `UserError` unless the support sets of these tasks hold what the learner reads."""
    if settings.reads_descriptions and not tasks.zero_shot:
        raise UserError(f"{settings.name} learns from descriptions of classes: add --zero-shot")
    if tasks.zero_shot and not settings.reads_descriptions:
        raise UserError(
            f"{settings.name} learns from examples: leave out --zero-shot, or take zero-shot"
        )


def require(tasks: TaskSettings, part: str, way: int, examples: int) -> None:
    """Raise `UserError` unless the classes of `part` allow such episodes."""
    kind = tasks.tasks.partition(":")[0]
    made = sources(tasks)
    if kind in ("glyphs", "sinusoid") or made is None:
        return
    source = made[part]
    if isinstance(source, BlankedWords):
        if (classes := source.with_at_least(examples).classes) < way:
            raise UserError(
                f"{tasks.tasks} ({part}) has {classes} words that are in {examples} sentences "
                f"(shot + query), but an episode needs {way}: ask for fewer"
            )
        return
    base = grouped(tasks)[part]
    turned = made[part].classes // base.classes
    base.require(-(-way // turned), examples, f"{tasks.tasks} ({part})")


def episode_tasks(
    tasks: TaskSettings, part: str, way: int, shot: int, query: int
) -> TaskDistribution[Episode]:
    """Episodes from the classes of one split. Raises `UserError` where they are too few."""
    made = sources(tasks)
    if made is None:
        return Sinusoid(shot, query)
    if tasks.zero_shot:
        source = describing(tasks, made[part])
        require(tasks, part, way, query)
        return ZeroShot(source, way, query)
    require(tasks, part, way, shot + query)
    source = made[part]
    if isinstance(source, BlankedWords):
        return Cloze(source.with_at_least(shot + query), way, shot, query, tasks.fixed_labels)
    return FewShot(source, way, shot, query, tasks.fixed_labels)


def problem_of(settings: RunSettings) -> Problem:
    """What the learner is built for. Raises `UserError` where it does not read such tasks."""
    require_kind(settings.learner, settings.tasks)
    made = sources(settings.tasks)
    if made is None:
        return Problem((1,), Gaussian(1), None)
    source = training_source(settings, made["train"])
    described = settings.tasks.zero_shot
    description = description_shape(describing(settings.tasks, source)) if described else None
    likelihood = Categorical(settings.tasks.way)
    return Problem(input_shape(source), likelihood, source.classes, description)


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
    """`train` from each of several seeds, in a folder each: together on an accelerator, one after
    the other on a CPU. Those that are finished are left as they are.

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
        "vocabulary": getattr(problem.shape, "vocabulary", None),
        "likelihood": type(problem.likelihood).__name__,
        "size": problem.likelihood.size,
        "training_classes": problem.training_classes,
        "description": problem.description and list(problem.description),
    }


def problem_from_json(found: dict[str, Any]) -> Problem:
    """The inverse of `problem_to_json`."""
    kinds: dict[str, type[Likelihood]] = {"Categorical": Categorical, "Gaussian": Gaussian}
    likelihood = kinds[found["likelihood"]](found["size"])  # pyright: ignore[reportCallIssue]
    shape = tuple(found["shape"])
    if (tokens := found.get("vocabulary")) is not None:
        shape = TokenShape(shape, tokens)
    description = found.get("description")  # older runs say nothing of it
    return Problem(shape, likelihood, found["training_classes"], description and tuple(description))


class Blank(ClassSource):
    """Examples of zeros: enough to learn the structure of a settled learner."""

    shape: tuple[int, ...] = eqx.field(static=True)
    classes: int = eqx.field(static=True, default=2)

    def draw(self, key, label, count):
        tokens = isinstance(self.shape, TokenShape)
        return jnp.zeros((count, *self.shape), int if tokens else float)

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
    show_progress: bool = True,
) -> Result:
    """`evaluate` on one split of `tasks` (by default the run's own), protocol filled in.

    Raises `UserError` where the learner cannot serve those tasks.
    """
    t = tasks or settings.tasks
    require_kind(settings.learner, t)
    distribution = episode_tasks(t, part, t.way, t.shot, t.query)
    try:
        result = evaluate(
            learner, distribution, episodes=episodes, seed=seed, show_progress=show_progress
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    words = {**result.protocol, **learner_protocol(settings.learner, learner)}
    return dataclasses.replace(result, protocol=words)
