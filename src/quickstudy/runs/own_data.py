"""What a run makes of the user's own data: ways and queries for as much as there is, small classes
left out, and what is said of the data before the first step."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import numpy as np

from quickstudy.data.counts import Counts
from quickstudy.data.functions import TableOfTasks
from quickstudy.data.inputs import TokenShape
from quickstudy.data.kind import Classes, input_shape
from quickstudy.data.modes import Mode
from quickstudy.data.own import Own, counted
from quickstudy.datasets.kept import FEWEST, SPLITS, ClassSplit
from quickstudy.devices import is_first_process, text_from_first_process
from quickstudy.errors import UserError
from quickstudy.files import read_json
from quickstudy.record import ANOTHER_FOLDER, CONFIG_FILE
from quickstudy.runs.tasks import training_mode
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.network import NetworkKind, NetworkLearnerSettings
from quickstudy.settings.run import QUERIES, WAYS, RunSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.settings.training import filled

MOST_STEPS_BETWEEN_LOOKS = 100
PATIENCE = 10
"""Of training on the user's own data, where nothing else is said."""
FEW_CLASSES = 50
"""Pictures of fewer training classes are distorted, where nothing is said."""


def for_own_data(settings: RunSettings, folders: Collection[Path]) -> tuple[RunSettings, list[str]]:
    """Fill in the defaults that suit data of the user's own, and give what to say of them: ways and
    queries for what is there, early stopping, distortions of pictures of few classes, and a network
    that begins as its inputs where these are features that are compared. A run that was begun in
    one of these folders keeps what it began with. Other data are left alone."""
    if not settings.tasks.kind.own:
        return settings, []
    written = [path for folder in folders if (path := folder / CONFIG_FILE).exists()]
    begun = read_json(written[0], ANOTHER_FOLDER) if written and is_first_process() else None
    begun = json.loads(text_from_first_process(json.dumps(begun)))
    if begun is not None:
        settings = as_begun(settings, begun)
    settings, said = for_what_is_there(settings)
    tasks, options, learner = settings.tasks, settings.training, settings.learner
    if begun is None:
        tasks = filled(tasks, {"distort": has_few_pictures(settings)})
        every = min(max(1, steps_of(settings) // 20), MOST_STEPS_BETWEEN_LOOKS)
        options = filled(options, {"validate_every": every, "patience": PATIENCE})
        if compares_features(settings):
            learner = with_network(learner, "residual")
    return dataclasses.replace(settings, learner=learner, tasks=tasks, training=options), said


def steps_of(settings: RunSettings) -> int:
    """Count the steps of a training, by default those that suit the learner."""
    steps = settings.training.steps
    return settings.learner.defaults["steps"] if steps is None else steps


def as_begun(settings: RunSettings, begun: dict[str, Any]) -> RunSettings:
    """Fill in what a run began with, as its `config.json` has it, where nothing else is said."""
    there = {part: begun.get(part, {}) for part in ("tasks", "training", "learner")}
    tasks = filled(settings.tasks, {k: there["tasks"].get(k) for k in COUNTED})
    training = filled(
        settings.training, {k: there["training"].get(k) for k in ("validate_every", "patience")}
    )
    network = (there["learner"].get("network") or {}).get("network", "auto")
    learner = with_network(settings.learner, network)
    return dataclasses.replace(settings, learner=learner, tasks=tasks, training=training)


COUNTED = ("way", "train_way", "query", "train_query", "distort")
"""The options that follow from how much there is, where nothing is said."""


def with_network(learner: LearnerSettings, kind: NetworkKind) -> LearnerSettings:
    """Give the learner this kind of network where it has one and nothing is said of it."""
    if not isinstance(learner, NetworkLearnerSettings) or learner.network.network != "auto":
        return learner
    return dataclasses.replace(learner, network=dataclasses.replace(learner.network, network=kind))


def compares_features(settings: RunSettings) -> bool:
    """Whether inputs are vectors of numbers, and what the learner compares is its network's."""
    learner, data = settings.learner, settings.tasks.data
    if not (isinstance(learner, NetworkLearnerSettings) and learner.compares_features):
        return False
    shape = input_shape(data.source("train")) if isinstance(data, Classes) else ()
    return len(shape) == 1 and not isinstance(shape, TokenShape)


def has_few_pictures(settings: RunSettings) -> bool:
    """Whether the learner is trained on pictures of fewer than `FEW_CLASSES` classes, in episodes
    whose pictures can be distorted."""
    t = settings.tasks
    if not steps_of(settings) or t.proportional or not isinstance(t.data, Own):
        return False
    examples = t.data.grouped("train")
    pictures = examples.x.dtype == np.uint8 and examples.x.ndim == 4
    return pictures and len(examples.names) < FEW_CLASSES


def for_what_is_there(settings: RunSettings) -> tuple[RunSettings, list[str]]:
    """Give `settings` with ways and queries for the classes and examples that there are, where
    nothing was said of them and there are fewer than by default; and what to say of it."""
    data = settings.tasks.data
    if isinstance(data, TableOfTasks):
        return settings, [data.in_short]
    settings, of_ways = with_ways(settings)
    settings, of_queries = with_queries(settings)
    return settings, [line for line in (of_ways, of_queries) if line]


def with_ways(settings: RunSettings) -> tuple[RunSettings, str]:
    """`for_what_is_there` of the ways."""
    t, learner = settings.tasks, settings.learner
    if t.verify or t.within:
        return settings, ""
    data = cast(Classes, t.data)
    there = {part: len(data.names(part)) * data.turns for part in SPLITS}
    most = {part: max(FEWEST, count - t.distractors) for part, count in there.items()}
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


def with_queries(settings: RunSettings) -> tuple[RunSettings, str]:
    """`for_what_is_there` of the queries. Where not even one fits, they stay as they are, and the
    refusal of the tasks says what to do."""
    t, learner = settings.tasks, settings.learner
    data = cast(Classes, t.data)
    by_part = {part: data.counted(part) for part in SPLITS}
    fewest = {part: int(found.count.min()) for part, found in by_part.items() if found}
    if not fewest:
        return settings, ""
    said, query, train_query = [], t.query, t.train_query
    if query is None:
        there = min(fewest["validation"], fewest["test"])
        query = most_queries(t.mode, Counts(t.way or WAYS, t.shot, QUERIES), there)
        if query < QUERIES:
            said.append(f"episodes ask {query} of each class in place of {QUERIES} (--query)")
    if train_query is None and learner.trains_on == "episodes":
        wanted = learner.defaults.get("train_query", query)
        counts = Counts(t.train_way or WAYS, t.train_shot or t.shot, wanted, training=True)
        train_query = most_queries(training_mode(settings), counts, fewest["train"])
        if train_query < wanted:
            said.append(f"training episodes ask {train_query} in place of {wanted} (--train-query)")
    smallest = min(fewest.values())
    tasks = dataclasses.replace(t, query=query, train_query=train_query)
    return (
        dataclasses.replace(settings, tasks=tasks),
        f"the smallest class of {t.tasks} has {smallest} examples: {'; '.join(said)}"
        if said
        else "",
    )


def most_queries(mode: Mode, counts: Counts, there: int) -> int:
    """Count the most queries of each class, up to those of `counts`, where a class has `there`
    examples; those of `counts` where none fit."""
    fewer = (dataclasses.replace(counts, query=q) for q in range(counts.query, 0, -1))
    return next((one.query for one in fewer if mode.examples(one) <= there), counts.query)


def examples_needed(settings: RunSettings) -> int:
    """Count the examples that each class has to have for the episodes that are asked for."""
    t, learner = settings.tasks, settings.learner
    query = QUERIES if t.query is None else t.query
    needed = t.mode.examples(Counts(t.way or WAYS, t.shot, query))
    if learner.trains_on != "episodes":
        return needed
    train_query = learner.defaults.get("train_query", query)
    train_query = train_query if t.train_query is None else t.train_query
    counts = Counts(t.train_way or WAYS, t.train_shot or t.shot, train_query, training=True)
    return max(needed, training_mode(settings).examples(counts))


def without_small_classes(settings: RunSettings) -> tuple[ClassSplit, str]:
    """Divide the classes that have enough examples for the episodes that are asked for, and say
    which are left out. Raises `UserError` where too few have enough."""
    data, fewest = settings.tasks.data, examples_needed(settings)
    assert isinstance(data, Own)
    names, count = data.everything.names, data.everything.count
    small = [f"{names[i]!r} ({count[i]})" for i in np.flatnonzero(count < fewest)]
    try:
        split = data.split(fewest)
        split.require_two("the split without small classes")
    except UserError as error:
        raise UserError(
            f"--skip-small-classes: {len(names) - len(small)} of {len(names)} classes have the "
            f"{fewest} examples that episodes take: ask fewer (--query and --train-query, or "
            f"--shot), or add examples; {error}"
        ) from None
    if not small:
        return split, ""
    which = ", ".join(small[:5]) + (" …" if len(small) > 5 else "")
    return split, (
        f"{counted(small)} of {len(names)} left out for having fewer than {fewest} examples "
        f"(--skip-small-classes): {which}"
    )


WORDS = {"train": "to train on", "validation": "to validate on", "test": "to test on"}


def overview(settings: RunSettings, problem: TaskSpec) -> tuple[str, ...]:
    """Say what the user's own data is and how it is divided, a line each; nothing of other data."""
    t, options = settings.tasks, settings.training
    data = t.data
    if not t.kind.own or not isinstance(data, Classes):
        return ()
    lines = [f"{t.tasks}: inputs of {' × '.join(map(str, problem.shape))}"]
    for part, words in WORDS.items():
        examples = data.counted(part)
        if examples is None:
            continue
        if part == "validation" and tuple(data.names(part)) == tuple(data.names("train")):
            lines.append(f"{words}: the training classes")
            continue
        low, high = int(np.argmin(examples.count)), int(np.argmax(examples.count))
        some = f"{examples.count[low]} ({examples.names[low]!r})"
        many = f"{examples.count[high]} ({examples.names[high]!r})"
        same = examples.count[low] == examples.count[high]
        each = f"{examples.count[low]} in each" if same else f"from {some} to {many} in a class"
        total = int(examples.count.sum())
        lines.append(f"{words}: {counted(examples.names)}, {total:,} examples, {each}")
    tested = f"tested on {t.way}-way, {t.shot}-shot episodes with {t.query} queries of each class"
    if not options.steps:
        return (*lines, tested)
    if t.distort:
        lines.append(
            "training pictures are turned, sheared, scaled and moved a little at random "
            "(--distort False leaves them as they are)"
        )
    each = "1 task" if options.meta_batch == 1 else f"{options.meta_batch} tasks"
    return (*lines, f"{options.steps:,} steps of {each}; {tested}")
