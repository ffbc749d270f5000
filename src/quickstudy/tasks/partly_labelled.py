"""Episodes whose support set is labelled in part (Garcia and Bruna 2018, section 3), with
examples of other classes among the unlabelled ones if asked for (Ren et al. 2018, section 2.1)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from quickstudy.task import ActiveEpisode, Examples
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.source import distinct

ANYWHERE = 2**31 - 1
"""Folded into an episode's key: where labels are. Small numbers are for questions (`asking.py`)."""

DISTRACTORS = 2**31 - 2
"""Folded into the key of other examples: those of distractors. Small numbers are the classes'."""


class PartlyLabelled(FewShot):
    """The episodes of `FewShot`, of whose `shot` support examples of each class only the first
    `labelled` carry their label, and the others -1; or `anywhere`, as many of all support examples
    whatever their class, so that some classes may have no label. The support set ends with as many
    unlabelled examples of each of `distractors` classes that are not in the episode.

    The same key draws the same examples as it does from `FewShot`, whatever is labelled.

    >>> episode = PartlyLabelled(source, way=2, shot=3, query=1, labelled=1).sample(key)
    >>> episode.support.y, episode.answers
    (Array([ 0, -1, -1,  1, -1, -1], dtype=int32), Array([0, 0, 0, 1, 1, 1], dtype=int32))
    """

    labelled: int = eqx.field(static=True, kw_only=True)
    distractors: int = eqx.field(static=True, kw_only=True, default=0)
    anywhere: bool = eqx.field(static=True, kw_only=True, default=False)

    def __check_init__(self):
        if not 1 <= self.labelled <= self.shot:
            raise ValueError(f"{self.labelled} labelled examples of {self.shot} shots")
        if self.distractors and self.labelled == self.shot:
            raise ValueError("distractors are unlabelled examples: not all shots can be labelled")
        if self.way + self.distractors > self.source.classes:
            raise ValueError(
                f"{self.way} + {self.distractors} classes from {self.source.classes} classes"
            )

    def sample(self, key: PRNGKeyArray, examples: PRNGKeyArray | None = None) -> ActiveEpisode:
        episode = super().sample(key, examples)
        x, answers = episode.support.x, episode.support.y
        known = jnp.tile(jnp.arange(self.shot) < self.labelled, self.way)
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
        """Draw the examples of classes that are not in the episode `super().sample(key)`; with a
        key for `examples`, other examples of the same classes."""
        choose, draw = jax.random.split(jax.random.fold_in(key, 1))
        if examples is not None:
            draw = jax.random.fold_in(examples, DISTRACTORS)
        classes = distinct_others(
            choose, self.chosen(key)[0], self.source.classes, self.distractors
        )
        x = jax.vmap(lambda k, c: self.source.draw(k, c, self.shot - self.labelled))(
            jax.random.split(draw, self.distractors), classes
        )
        return x.reshape(-1, *x.shape[2:])

    @property
    def unlabelled(self) -> int:
        """How many support examples have no label."""
        return (self.way + self.distractors) * (self.shot - self.labelled)

    def protocol(self) -> dict[str, Any]:
        words = super().protocol()
        if self.labelled < self.shot:
            words["labelled per class"] = self.labelled
        if self.anywhere:
            words["labelled per class"] = f"{self.labelled} on average"
        if self.distractors:
            words["distractor classes"] = self.distractors
        return words


def distinct_others(
    key: PRNGKeyArray, taken: Int[Array, " n"], population: int, count: int
) -> Int[Array, " count"]:
    """`count` distinct integers from 0 … population - 1 that are not among the n `taken`: number
    r of those left is r plus how many of the taken ones lie below it."""
    places = distinct(key, population - len(taken), count)
    below = jnp.sort(taken) - jnp.arange(len(taken)) <= places[:, None]
    return places + jnp.sum(below, 1)
