"""Episodes whose support set is partly labelled (Garcia and Bruna 2018, section 3), optionally with
unlabelled examples of other classes (Ren et al. 2018, section 2.1)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from quickstudy.task import Episode, Examples
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.finite import Redrawn
from quickstudy.tasks.source import ClassSource, distinct

ANYWHERE = 2**31 - 1
"""Folded into an episode's key: where labels are. Small numbers are for questions (`asking.py`)."""

DISTRACTORS = 2**31 - 2
"""Folded into the key of examples for the examples of distractors. Small numbers belong to the
classes."""


class ActiveEpisode(Episode):
    """An episode with some unlabelled support examples. `answers` holds the true labels, which are
    revealed to a learner that asks."""

    answers: Int[Array, " n"]
    """The true label of each support example; -1 where it belongs to no class of the task."""


class PartlyLabelled(Redrawn):
    """The episodes of `tasks`, in which only the first `labelled` of the `shot` support examples of
    each class keep their label, and the others get -1. With `anywhere`, the same number of labels
    is spread over all support examples, so some classes may have no label. The support set ends
    with `shot` unlabelled examples of each of `distractors` classes that are not in the episode.

    The same key draws the same examples as from `tasks`, with any number of labels.

    >>> tasks = FewShot(source, way=2, shot=3, query=1)
    >>> episode = PartlyLabelled(tasks, labelled=1).sample(key)
    >>> episode.support.y, episode.answers
    (Array([ 0, -1, -1,  1, -1, -1], dtype=int32), Array([0, 0, 0, 1, 1, 1], dtype=int32))
    """

    tasks: FewShot
    labelled: int = eqx.field(static=True)
    distractors: int = eqx.field(static=True, default=0)
    anywhere: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        shot, way, classes = self.tasks.shot, self.tasks.way, self.tasks.source.classes
        if not 1 <= self.labelled <= shot:
            raise ValueError(f"{self.labelled} labelled examples of {shot} shots")
        if self.distractors and self.labelled == shot:
            raise ValueError("distractors are unlabelled examples: not all shots can be labelled")
        if way + self.distractors > classes:
            raise ValueError(f"{way} + {self.distractors} classes from {classes} classes")

    def sample(self, key: PRNGKeyArray, examples: PRNGKeyArray | None = None) -> ActiveEpisode:
        episode = self.tasks.sample(key, examples)
        x, answers = episode.support.x, episode.support.y
        known = jnp.tile(jnp.arange(self.tasks.shot) < self.labelled, self.tasks.way)
        if self.anywhere:
            known = jax.random.permutation(jax.random.fold_in(key, ANYWHERE), known)
        if self.distractors:
            more = self.distracting(key, examples)
            x = jnp.concatenate([x, more])
            answers = jnp.concatenate([answers, jnp.full(len(more), -1)])
            known = jnp.concatenate([known, jnp.zeros(len(more), bool)])
        return ActiveEpisode(
            support=Examples(x, jnp.where(known, answers, -1)),
            query=episode.query,
            likelihood=episode.likelihood,
            answers=answers,
        )

    def distracting(self, key: PRNGKeyArray, examples: PRNGKeyArray | None) -> Array:
        """Draw the examples of classes that are not in the episode `tasks.sample(key)`; with a
        key for `examples`, other examples of the same classes."""
        choose, draw = jax.random.split(jax.random.fold_in(key, 1))
        if examples is not None:
            draw = jax.random.fold_in(examples, DISTRACTORS)
        source, taken = self.tasks.source, self.tasks.chosen(key)
        classes = distinct_others(choose, taken, source.classes, self.distractors)
        x = jax.vmap(lambda k, c: source.draw(k, c, self.tasks.shot - self.labelled))(
            jax.random.split(draw, self.distractors), classes
        )
        return x.reshape(-1, *x.shape[2:])

    @property
    def source(self) -> ClassSource:
        return self.tasks.source

    @property
    def unlabelled(self) -> int:
        """The number of support examples without a label."""
        return (self.tasks.way + self.distractors) * (self.tasks.shot - self.labelled)

    def protocol(self) -> dict[str, Any]:
        words = self.tasks.protocol()
        if self.labelled < self.tasks.shot:
            words["labelled per class"] = self.labelled
        if self.anywhere:
            words["labelled per class"] = f"{self.labelled} on average"
        if self.distractors:
            words["distractor classes"] = self.distractors
        return words


def distinct_others(
    key: PRNGKeyArray, taken: Int[Array, " n"], population: int, count: int
) -> Int[Array, " count"]:
    """Draw `count` distinct integers from 0 … population - 1 that are not among the n `taken`. The
    r-th of the remaining integers is r plus the number of taken integers below it."""
    places = distinct(key, population - len(taken), count)
    below = jnp.sort(taken) - jnp.arange(len(taken)) <= places[:, None]
    return places + jnp.sum(below, 1)
