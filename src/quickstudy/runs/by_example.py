"""Figures by class and predictions by example, of a test on the user's own classes."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from quickstudy.data.modes import InPairs, InSequence
from quickstudy.data.own import Own
from quickstudy.datasets.grouped import Grouped
from quickstudy.evaluation import Answers, Result
from quickstudy.learner import Learnable, Learner
from quickstudy.likelihood import Categorical
from quickstudy.open_set import OpenSetLearner
from quickstudy.settings.run import TaskSettings
from quickstudy.task import Episode, TaskDistribution
from quickstudy.tasks.mapped import row_numbers

MOST_PREDICTIONS = 1000
"""About how many predictions are told one by one: all of the first episodes."""


def rows_of(
    tasks: TaskSettings, learner: Learnable, distribution: TaskDistribution[Episode], task: Episode
) -> TaskDistribution[Episode] | None:
    """Give the tasks with row numbers in the place of examples (`evaluate` takes them), where each
    query is an example of the user's own, and the learner says which class of the episode it is.
    None elsewhere, and where each turn of a class is a class of its own, which a row number does
    not tell. `task` is one of the tasks, or its shapes."""
    data = tasks.data
    if not isinstance(data, Own) or isinstance(tasks.mode, InPairs | InSequence):
        return None
    if data.turns > 1:
        return None
    if isinstance(learner, OpenSetLearner) or type(learner).figures is not Learner.figures:
        return None
    assert isinstance(learner, Learner)
    if type(learner.answers(task.likelihood)) is not Categorical:
        return None
    return row_numbers(distribution)


class OfClass(NamedTuple):
    """What became of the queries of one class."""

    name: str
    queries: int
    accuracy: float
    taken_for: str | None
    """The class that it was most often taken for, by mistake; None without a mistake …"""
    times: int
    """… and how often."""


def by_class(result: Result, tasks: TaskSettings, part: str) -> list[OfClass]:
    """Count the answers for each class of a part that was asked for, over all episodes and
    trainings, in the order of the classes. Nothing of a result without `answers`."""
    there = [one.answers for one in result.each or (result,) if one.answers is not None]
    if not there:
        return []
    examples = _examples(tasks, part)
    true, taken = np.concatenate([_classes(answers, examples) for answers in there], 1)
    asked, mistakes = Counter(true.tolist()), Counter()
    for pair in zip(true[true != taken].tolist(), taken[true != taken].tolist(), strict=True):
        mistakes[pair] += 1
    worst: dict[int, tuple[int, int]] = {}
    for (k, other), times in mistakes.items():
        worst[k] = max(worst.get(k, (0, 0)), (times, -other))
    wrong = Counter(true[true != taken].tolist())
    found = []
    for k in sorted(asked):
        times, other = worst.get(k, (0, 0))
        name = examples.names[-other] if times else None
        accuracy = 1 - wrong[k] / asked[k]
        found.append(OfClass(examples.names[k], asked[k], accuracy, name, times))
    return found


def predictions(result: Result, tasks: TaskSettings, part: str) -> dict[str, Any]:
    """Tell for each query of the first episodes which example it was, its class, and the class that
    it was taken for: about `MOST_PREDICTIONS` of them, of the first training where there are
    several. Plain JSON values; nothing of a result without `answers`."""
    if result.answers is None:
        return {}
    episodes, queries = result.answers.label.shape
    first = min(episodes, max(1, MOST_PREDICTIONS // queries))
    data, examples = tasks.data, _examples(tasks, part)
    assert isinstance(data, Own)
    answers = Answers(*(x[:first] for x in vars(result.answers).values()))
    there = np.asarray(answers.label) >= 0
    names = data.example_names(examples, np.asarray(answers.example)[there].tolist())
    each = zip(np.nonzero(there)[0].tolist(), names, *_classes(answers, examples), strict=True)
    of = f"of the first {first}" if first < episodes else "of all"
    seeds = ", of the first training" if result.each else ""
    return {
        "which": f"all queries {of} of {episodes} episodes{seeds}",
        "of": [
            {
                "episode": episode,
                "example": name,
                "class": examples.names[true],
                "predicted": examples.names[taken],
            }
            for episode, name, true, taken in each
        ],
    }


def _examples(tasks: TaskSettings, part: str) -> Grouped:
    data = tasks.data
    assert isinstance(data, Own)
    return data.grouped(part)


def _classes(answers: Answers, examples: Grouped) -> Int[np.ndarray, "2 n"]:
    """The class of each query, and the one that it was taken for: the class of the queries that
    have this label in the same episode."""
    rows = np.concatenate(
        [np.arange(a, a + n) for a, n in zip(examples.first, examples.count, strict=True)]
    )
    of_row = np.full(rows.max() + 1, -1)
    of_row[rows] = np.repeat(np.arange(examples.classes), examples.count)
    label, answer = np.asarray(answers.label), np.asarray(answers.answer)
    episode, query = np.nonzero(label >= 0)
    true = of_row[np.asarray(answers.example)[episode, query]]
    called = np.full((len(label), int(max(label.max(), answer.max())) + 1), -1)
    called[episode, label[episode, query]] = true
    return np.stack([true, called[episode, answer[episode, query]]])
