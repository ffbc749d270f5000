"""What known inputs are like to a run's learner: see `open_set.py` for what is made of it."""

from __future__ import annotations

import math
from typing import Any

from quickstudy.data.counts import Counts
from quickstudy.data.kind import Classes
from quickstudy.data.modes import Labelled
from quickstudy.errors import UserError
from quickstudy.learner import Learner
from quickstudy.open_set import OpenSetLearner, Reference, reference
from quickstudy.settings.run import RunSettings
from quickstudy.task import Episode, TaskDistribution
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.open_set import OpenSet

PART = "validation"
"""Reference inputs are of these classes; of the training classes where a run has no others."""
EPISODES = 80
QUERIES = 25
"""In an episode, or one of each class where there are more classes."""


def known_inputs(
    settings: RunSettings, learner: Learner, way: int, shot: int, show_progress: bool = True
) -> Reference:
    """Measure the queries of episodes of a run's validation classes, with `way` classes and `shot`
    examples of each, or as near to these as the classes allow.

    Raises `UserError` where the data cannot be had, or has no classes.
    """
    data = settings.tasks.data
    if not isinstance(data, Classes):
        raise UserError(f"{settings.tasks.tasks} has no classes to take examples of")
    way = min(way, data.source_for(PART, 2).classes)
    if (counted := data.counted(PART)) is not None:
        shot = min(shot, int(counted.count.min()) - 1)
        query = min(-(-QUERIES // way), int(counted.count.min()) - shot)
    else:
        query = -(-QUERIES // way)
    tasks = Labelled().cut(data, PART, Counts(way, shot, query))
    count = EPISODES * way * query
    try:
        return reference(
            learner,
            tasks,
            episodes=EPISODES,
            words=f"{count:,} queries of {EPISODES} {way}-way {shot}-shot episodes of {PART} "
            f"classes of {settings.tasks.tasks}",
            show_progress=show_progress,
        )
    except ValueError as error:
        raise UserError(str(error)) from error


def known_header(
    settings: RunSettings, learner: Learner, way: int, shots: tuple[int, ...] = (1, 2, 5, 10)
) -> list[dict[str, Any]]:
    """Make the entry `known` of a run's header: what `known_inputs` finds at several numbers of
    shots, for a file that is used where the data is not. Raises as `known_inputs` does."""
    return [
        {"way": way, "shot": shot, **known_inputs(settings, learner, way, shot).to_json()}
        for shot in shots
    ]


def known_in(entries: list[dict[str, Any]], way: int, shot: int) -> Reference:
    """Read the entry `known` of a run's header, at the numbers of ways and shots that are nearest
    by their ratio."""

    def far(entry: dict[str, Any]) -> float:
        return abs(math.log(entry["way"] / way)) + abs(math.log(entry["shot"] / shot))

    return Reference.from_json(min(entries, key=far))


def with_unknown(tasks: TaskDistribution[Episode]) -> OpenSet:
    """Add queries of as many other classes. Raises `UserError` where episodes are not plain, or
    there are too few classes."""
    if not isinstance(tasks, FewShot):
        raise UserError("--open-set is for plain episodes of classes: leave out the other options")
    there = tasks.source.classes
    if there < 2 * tasks.way:
        more = f"--way {there // 2} is the most" if there > 3 else "it needs four at least"
        raise UserError(
            f"--open-set takes as many other classes as an episode has, 2 × {tasks.way}, and there "
            f"are {there}: {more}, or add classes"
        )
    return OpenSet(tasks)


def knows_unknown(
    settings: RunSettings, learner: Learner, tasks: OpenSet, false_alarms: float
) -> OpenSetLearner:
    """Give the learner that may say `unknown` in episodes of as many ways and shots as `tasks`.
    Raises `UserError` where the run's own validation classes cannot be had."""
    plain = tasks.tasks
    try:
        found = known_inputs(settings, learner, plain.way, plain.shot)
    except UserError as error:
        raise UserError(f"--open-set measures the run's {PART} classes first: {error}") from error
    return OpenSetLearner(learner, found, false_alarms)
