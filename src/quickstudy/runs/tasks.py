"""The tasks of a run, from its settings."""

from __future__ import annotations

from quickstudy.data.counts import Counts, require
from quickstudy.data.kind import Classes, Made
from quickstudy.data.modes import InPairs, InSequence, Labelled, Mode
from quickstudy.errors import UserError
from quickstudy.learner import AskingLearner, Learner
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.run import (
    QUERIES,
    WAYS,
    Asking,
    RunSettings,
    TaskSettings,
    defaults_of_classes,
)
from quickstudy.task import Episode, TaskDistribution
from quickstudy.tasks.asking import Asked, AsLearned, AtRandom, LeastCertain
from quickstudy.tasks.few_shot import Batches
from quickstudy.tasks.partly_labelled import PartlyLabelled
from quickstudy.tasks.source import ClassSource


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
    kind = tasks.kind
    without_classes = kind.has_ways and not kind.has_classes and not kind.test_only
    if without_classes and settings.trains_on != "episodes":
        raise UserError(f"{settings.name} trains on classes; {kind.name} are tasks without")
    if tasks.letters and not settings.reads_sequences:
        raise UserError("--letters is for learners that read sequences: mann, lstm, snail")


def training_mode(settings: RunSettings) -> Mode:
    """Give the mode of training episodes: not sequences, where the learner reads none."""
    mode = settings.tasks.mode
    if isinstance(mode, InSequence) and not settings.learner.reads_sequences:
        return Labelled()
    return mode


def episode_tasks(
    tasks: TaskSettings, part: str, way: int | None, shot: int, query: int | None
) -> TaskDistribution[Episode]:
    """Episodes of one part, in the mode of the settings; by default of five ways with fifteen
    queries of each class. Raises
    `UserError` where the data has too little for them."""
    way, query = WAYS if way is None else way, QUERIES if query is None else query
    data = tasks.data
    if isinstance(data, Classes):
        return tasks.mode.cut(data, part, Counts(way, shot, query))
    assert isinstance(data, Made)
    data.refuse_training(part)
    if not data.test_only and (options := asked_of_classes(tasks)):
        raise UserError(
            f"{options}: this is about classes to draw examples of, and {tasks.tasks} has none"
        )
    return data.episodes(part, way, shot, query)


def asked_of_classes(tasks: TaskSettings) -> str:
    """The options that say something of classes, for tasks that are not cut out of any."""
    usual = defaults_of_classes()
    if not tasks.kind.has_ways and tasks.way is not None:
        usual["way"] = WAYS
    if tasks.kind.keeps_classes:  # tasks are divided as classes are
        for option in ("split", "split_seed", "train_classes"):
            del usual[option]
    asked = [name for name, value in usual.items() if getattr(tasks, name) not in (value, False)]
    return ", ".join(f"--{name.replace('_', '-')}" for name in asked)


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
    """All training classes, but no more than a classifier of them can hold; None for tasks that
    are not cut out of classes."""
    data = settings.tasks.data
    if not isinstance(data, Classes):
        data.refuse_training("train")
        return None
    if settings.learner.trains_on == "batches":
        return data.for_a_classifier()
    return data.source_for("train", 1, training=True)


def training_tasks(settings: RunSettings) -> TaskDistribution[Episode]:
    """Of the training classes, what the learner takes: episodes, batches or pairs."""
    t, learner = settings.tasks, settings.learner
    assert t.train_way is not None
    assert t.train_shot is not None
    assert t.train_query is not None
    data, mode = t.data, t.mode
    if not isinstance(data, Classes):
        made = episode_tasks(t, "train", t.train_way, t.train_shot, t.train_query)
        return learner.grouped(made)
    if t.any_shot and learner.trains_on != "episodes":
        raise UserError(
            f"--any-shot is about episodes of classes; this learner trains on {learner.trains_on}"
        )
    if learner.trains_on == "batches":
        require(data, "train", 2, 1)
        return Batches(data.for_a_classifier(), t.train_query)
    counts = Counts(t.train_way, t.train_shot, t.train_query, training=True)
    if learner.trains_on == "pairs":
        return InPairs(within=t.within).cut(data, "train", counts)
    if isinstance(mode, InSequence) and learner.reads_sequences:
        return mode.cut(data, "train", counts)
    mode = training_mode(settings)
    return learner.grouped(mode.cut(data, "train", counts))
