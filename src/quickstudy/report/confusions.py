"""Which classes are taken for which."""

from __future__ import annotations

from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.data.kind import Classes
from quickstudy.learner import Learner
from quickstudy.report.data import Confusion
from quickstudy.report.opened import OpenedRun, is_image, shown
from quickstudy.task import task_keys
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.source import ClassSource, distinct

CONFUSED_CLASSES = 20
CONFUSED_EPISODES = 200
CONFUSED_PAIRS = 6


class Chosen(ClassSource):
    """A few classes of a source."""

    classes: int = eqx.field(static=True)
    source: ClassSource
    labels: Int[Array, " classes"]

    def draw(self, key, label, count):
        return self.source.draw(key, self.labels[label], count)

    def protocol(self) -> dict[str, Any]:
        return {**self.source.protocol(), "classes": self.classes}


def confused(run: OpenedRun, seed: int) -> list[Confusion]:
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
    called = cast(Classes, run.settings.tasks.data).class_name("test")
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
        return tasks.chosen(for_task), counts

    return jax.lax.map(one, jnp.arange(CONFUSED_EPISODES))
