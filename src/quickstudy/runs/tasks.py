"""Tasks from settings: classes and functions, cut into episodes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from quickstudy.datasets import mnist, omniglot
from quickstudy.datasets.images import resized
from quickstudy.datasets.kept import SPLITS
from quickstudy.errors import UserError
from quickstudy.learner import AskingLearner, Learner
from quickstudy.likelihood import Categorical
from quickstudy.runs.sources import (
    CLASSES_OF_A_CLASSIFIER,
    classes_of,
    describing,
    division,
    grouped,
    input_shape,
    names_of,
    rotation_mode,
)
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.run import (
    WAYS,
    Asking,
    RunSettings,
    TaskSettings,
    defaults_of_classes,
)
from quickstudy.settings.task_kinds import FUNCTIONS, OWN
from quickstudy.task import Episode, Examples, FixedTasks, TaskDistribution
from quickstudy.tasks.any_shot import AnyShot
from quickstudy.tasks.asking import Asked, AsLearned, AtRandom, LeastCertain
from quickstudy.tasks.cloze import BlankedWords, Cloze
from quickstudy.tasks.completion import Completion
from quickstudy.tasks.few_shot import Batches, Distorted, FewShot, shares
from quickstudy.tasks.gaussian_processes import GaussianProcesses, fixed_gaussian_process
from quickstudy.tasks.glyphs import Glyphs
from quickstudy.tasks.pairs import Pairs
from quickstudy.tasks.partly_labelled import PartlyLabelled
from quickstudy.tasks.sequences import Sequences, examples_each
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.tasks.source import ClassSource
from quickstudy.tasks.tables import SyntheticTables
from quickstudy.tasks.within import WithinGroup
from quickstudy.tasks.zero_shot import ZeroShot

VALIDATION_PICTURES = 5000
"""Of MNIST's training part: its last ones."""


def require_kind(settings: LearnerSettings, tasks: TaskSettings) -> None:
    """Raise `UserError` unless the support sets of these tasks hold what the learner reads, and
    their queries what it answers."""
    if settings.reads_descriptions and not tasks.zero_shot:
        raise UserError(f"{settings.name} learns from descriptions of classes: add --zero-shot")
    if tasks.zero_shot and not settings.reads_descriptions:
        raise UserError(
            f"{settings.name} learns from examples: leave out --zero-shot, or take zero-shot"
        )
    if tasks.verify and not settings.compares:
        raise UserError("--verify is for learners that compare two inputs: siamese, arc")
    if tasks.tasks == "synthetic-tables" and settings.trains_on != "episodes":
        raise UserError(f"{settings.name} trains on classes; synthetic tables are tasks without")
    if tasks.letters and not settings.reads_sequences:
        raise UserError("--letters is for learners that read sequences: mann, lstm, snail")


@dataclass(frozen=True)
class Counts:
    """What an episode takes from the classes, and the options that say so."""

    way: int
    shot: int
    query: int
    training: bool = False

    def flag(self, name: str) -> str:
        """The option of one of the three."""
        return f"--train-{name}" if self.training else f"--{name}"

    def fewer_classes(self, there: int) -> str:
        """What to do where so many can be taken."""
        if there < 2:
            return "add classes, or give this part more of them with --split FILE"
        return f"{self.flag('way')} {there} is the most, or add classes"

    def fewer_examples(self, there: int) -> str:
        """What to do where each class has so many."""
        shot, query = self.flag("shot"), self.flag("query")
        if there < 2:
            return "an episode needs two at least: add examples, or leave the class out"
        if there > self.shot:
            return (
                f"{query} {there - self.shot} is the most with {shot} {self.shot}, or add examples"
            )
        return f"{shot} {there - 1} with {query} 1 is the most, or add examples"


def require(
    tasks: TaskSettings,
    part: str,
    way: int,
    examples: int,
    fewer_classes: Callable[[int], str],
    fewer_examples: Callable[[int], str],
) -> None:
    """Raise `UserError` unless `part` has `way` classes, and each of its classes `examples`; with
    what to do where there are only so many."""
    kind = tasks.tasks.partition(":")[0]
    source = classes_of(tasks, part)
    assert source is not None
    where = f"{tasks.tasks} ({part})"
    if isinstance(source, BlankedWords):
        source = source.with_at_least(examples)
        what = f"words that are in {examples} sentences (shot + query)"
    else:
        what = "class" if source.classes == 1 else "classes"
    if source.classes < way:
        raise UserError(
            f"{where} has {source.classes} {what}, but an episode needs {way}: "
            f"{fewer_classes(source.classes)}"
        )
    if kind == "glyphs" or isinstance(source, BlankedWords):
        return
    base = grouped(tasks, part)
    short = np.flatnonzero(base.count < examples)
    if len(short):
        worst = short[np.argmin(base.count[short])]
        others = len(short) - 1
        more = f" (and {others} more {'class has' if others == 1 else 'classes have'} too few)"
        raise UserError(
            f"{where}: class {base.names[worst]!r} has {base.count[worst]} examples"
            f"{more if others else ''}, but an episode draws {examples} of each class: "
            f"{fewer_examples(int(base.count[worst]))}"
        )


def for_what_is_there(settings: RunSettings) -> tuple[RunSettings, str]:
    """`settings` with ways for the classes that there are, where nothing was said of ways and
    there are fewer than by default; and what to say of it."""
    t, learner = settings.tasks, settings.learner
    there = {part: classes_in(t, part) for part in SPLITS}
    if t.verify or t.within or None in there.values():
        return settings, ""
    most = {part: max(2, (count or 0) - t.distractors) for part, count in there.items()}
    by_episodes = learner.trains_on == "episodes"
    said, way, train_way = [], t.way, t.train_way
    if way is None:
        parts = {"validation", "test"}
        if by_episodes and train_way is None and "train_way" not in learner.defaults:
            parts.add("train")  # whose ways are the same
        way = min(WAYS, *(most[part] for part in parts))
        if way < WAYS:
            said.append(f"episodes have {way} classes in place of {WAYS} (--way)")
    if train_way is None and by_episodes:
        wanted = learner.defaults.get("train_way", way)
        train_way = min(wanted, most["train"])
        if train_way < wanted:
            said.append(
                f"training episodes have {train_way} classes in place of {wanted} (--train-way)"
            )
    numbers = ", ".join(f"{there[part]} {part}" for part in SPLITS)
    tasks = dataclasses.replace(t, way=way, train_way=train_way)
    return (
        dataclasses.replace(settings, tasks=tasks),
        f"{t.tasks} has {numbers} classes: {'; '.join(said)}" if said else "",
    )


def classes_in(tasks: TaskSettings, part: str) -> int | None:
    """How many classes a part of the user's own data has, with rotations if they are classes;
    None where classes are many or none."""
    if tasks.tasks.partition(":")[0] not in OWN:
        return None
    return len(names_of(tasks, part)) * (4 if rotation_mode(tasks) == "classes" else 1)


def episode_tasks(
    tasks: TaskSettings, part: str, way: int | None, shot: int, query: int
) -> TaskDistribution[Episode]:
    """Episodes, or pairs, from the classes of one split; by default of five ways. Raises
    `UserError` where they are too few."""
    way = WAYS if way is None else way
    if tasks.tasks == "lake-runs" and part == "test":
        return lake_runs(tasks.image_size)
    classes = classes_of(tasks, part)
    if classes is None:
        if options := asked_of_classes(tasks):
            raise UserError(
                f"{options}: this is about classes to draw examples of, and {tasks.tasks} has none"
            )
        if tasks.tasks == "synthetic-tables":
            return tables(tasks, way, shot, query)
        return functions(tasks, part, shot, query)
    if tasks.verify:
        return pairs(tasks, part, classes, way * query)
    if tasks.sequence:
        return sequences(tasks, part, classes, way)
    return episodes(tasks, part, classes, Counts(way, shot, query))


def asked_of_classes(tasks: TaskSettings) -> str:
    """The options that say something of classes, for tasks that are not cut out of any."""
    usual = defaults_of_classes()
    if tasks.tasks in FUNCTIONS and tasks.way is not None:
        usual["way"] = WAYS
    asked = [name for name, value in usual.items() if getattr(tasks, name) != value]
    return ", ".join(f"--{name.replace('_', '-')}" for name in asked)


def tables(tasks: TaskSettings, way: int, shot: int, query: int) -> SyntheticTables:
    """Raises `UserError` where they have too few rows."""
    try:
        return SyntheticTables(way, way * shot, way * query, tasks.features)
    except ValueError as error:
        raise UserError(f"--way {way} --shot {shot}: {error}") from error


def functions(tasks: TaskSettings, part: str, shot: int, query: int) -> TaskDistribution[Episode]:
    """A function in each episode. Raises `UserError` where pictures have too few pixels."""
    if tasks.tasks == "sinusoid":
        return Sinusoid(shot, query)
    if tasks.tasks == "gaussian-processes":
        return GaussianProcesses(shot, query)
    if tasks.tasks == "fixed-gaussian-process":
        return fixed_gaussian_process(shot, query)
    pictures = jnp.asarray(mnist_pictures(tasks.image_size)[part])
    words = (("data", "mnist-completion"), ("part", part), ("size", tasks.image_size))
    try:
        return Completion(pictures, shot, query, words=words)
    except ValueError as error:
        raise UserError(f"--shot {shot} --query {query}: {error}") from error


def lake_runs(image_size: int) -> FixedTasks[Episode]:
    """Lake's 20 one-shot runs on Omniglot."""
    runs, x = omniglot.lake_runs(), omniglot.load(image_size).grouped.x
    way = runs.train.shape[1]
    support = Examples(
        shares(jnp.asarray(x[runs.train])), jnp.tile(jnp.arange(way), (len(runs.train), 1))
    )
    query = Examples(shares(jnp.asarray(x[runs.test])), jnp.asarray(runs.label))
    words = {"data": "lake-runs", "way": way, "shot": 1, "queries per class": 1}
    return FixedTasks(
        Episode(support, query, Categorical(way)), (*words.items(), ("within", "one group"))
    )


@functools.lru_cache(maxsize=1)
def mnist_pictures(size: int) -> dict[str, np.ndarray]:
    """The digits of each part, (n, size, size, 1) bytes."""
    digits = mnist.load()
    train, test = resized(digits.train_x, size), resized(digits.test_x, size)
    last = len(train) - VALIDATION_PICTURES
    return {"train": train[:last], "validation": train[last:], "test": test}


def episodes(
    tasks: TaskSettings, part: str, classes: ClassSource, counts: Counts
) -> TaskDistribution[Episode]:
    """Of any classes or of those of one group; labelled, in part, or described. Raises `UserError`
    where they are too few."""
    way, shot, query = counts.way, counts.shot, counts.query
    if tasks.zero_shot:
        described = dataclasses.replace(counts, shot=0)
        require(tasks, part, way, query, counts.fewer_classes, described.fewer_examples)
        return ZeroShot(describing(tasks, classes), way, query)
    beside = tasks.distractors
    if isinstance(classes, BlankedWords) and (tasks.within or tasks.labelled < 1 or beside):
        raise UserError(
            "--within, --labelled and --distractors take classes of pictures or numbers, not "
            f"{tasks.tasks}"
        )

    def fewer_classes(there: int) -> str:
        if there < 2 + beside and beside:
            return f"--distractors {beside} are too many, or add classes"
        return counts.fewer_classes(there - beside)

    groups = division(tasks, part, way, counts.flag("way")) if tasks.within else None
    require(tasks, part, way + beside, shot + query, fewer_classes, counts.fewer_examples)
    if isinstance(classes, BlankedWords):
        classes = classes.with_at_least(shot + query)
        return Cloze(classes, way, shot, query, tasks.fixed_labels)
    if groups is not None:
        return WithinGroup(classes, way, shot, query, division=groups)
    if tasks.labelled == 1 and not tasks.distractors:
        return FewShot(classes, way, shot, query, tasks.fixed_labels)
    try:
        return PartlyLabelled(
            *(classes, way, shot, query, tasks.fixed_labels),
            labelled=round(tasks.labelled * shot),
            distractors=tasks.distractors,
            anywhere=tasks.anywhere,
        )
    except ValueError as error:
        raise UserError(f"--labelled {tasks.labelled}: {error}") from error


def pairs(tasks: TaskSettings, part: str, classes: ClassSource, count: int) -> Pairs:
    """`count` of one class and of two, any or of one group."""
    two = Counts(2, 1, 1)
    require(tasks, part, 2, 2, two.fewer_classes, two.fewer_examples)
    if isinstance(classes, BlankedWords):
        classes = classes.with_at_least(2)
    return Pairs(classes, count, division(tasks, part, 2) if tasks.within else None)


def sequences(
    tasks: TaskSettings, part: str, classes: ClassSource, way: int, training: bool = False
) -> Sequences:
    """Sequences of examples of any classes. Raises `UserError` where they are too few."""
    if isinstance(classes, BlankedWords):
        raise UserError(f"--sequence takes classes of pictures or numbers, not {tasks.tasks}")

    def shorter(there: int) -> str:
        return f"--sequence {there * way // 2} is the most, or add examples"

    each = examples_each(tasks.sequence, way)
    require(tasks, part, way, each, Counts(way, 1, 1, training).fewer_classes, shorter)
    return Sequences(classes, way, tasks.sequence, tasks.letters)


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


def training_source(settings: RunSettings) -> ClassSource | None:
    """All training classes, but no more than a classifier of them can hold; distorted if asked
    for."""
    classes = classes_of(settings.tasks, "train")
    if settings.learner.trains_on == "batches" and isinstance(classes, Glyphs):
        classes = dataclasses.replace(classes, classes=CLASSES_OF_A_CLASSIFIER)
    if not settings.tasks.distort or classes is None:
        return classes
    if len(shape := input_shape(classes)) != 3:
        raise UserError(f"--distort bends images; these inputs are {shape}")
    return Distorted(classes)


def training_tasks(settings: RunSettings) -> TaskDistribution[Episode]:
    """Of the training classes, what the learner takes: episodes, batches or pairs."""
    t, kind = settings.tasks, settings.learner.trains_on
    assert t.train_way is not None
    assert t.train_shot is not None
    assert t.train_query is not None
    classes = training_source(settings)
    if classes is None:
        made = episode_tasks(t, "train", t.train_way, t.train_shot, t.train_query)
        return settings.learner.grouped(made)
    counts = Counts(t.train_way, t.train_shot, t.train_query, training=True)
    if t.any_shot and kind != "episodes":
        raise UserError(f"--any-shot is about episodes of classes; this learner trains on {kind}")
    if kind == "batches":
        two = Counts(2, 1, 1)
        require(t, "train", 2, 1, two.fewer_classes, two.fewer_examples)
        return Batches(classes, t.train_query)
    if kind == "pairs":
        return pairs(t, "train", classes, t.train_way * t.train_query)
    if t.sequence and settings.learner.reads_sequences:
        return sequences(t, "train", classes, t.train_way, training=True)
    made = episodes(t, "train", classes, counts)
    if t.any_shot:
        assert isinstance(made, FewShot)
        made = AnyShot(made)
    return settings.learner.grouped(made)
