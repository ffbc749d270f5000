"""Episodes with a batch of ordinary classification, for learners that train on both."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from quickstudy.task import Episode, Examples, TaskDistribution
from quickstudy.tasks.any_shot import AnyShot
from quickstudy.tasks.few_shot import Batches, FewShot
from quickstudy.tasks.partly_labelled import PartlyLabelled


class CotrainedEpisode(Episode):
    """An episode with a batch of ordinary classification, for learners that train on both."""

    batch: Examples
    """Examples whose labels are indices of the training classes."""


OfClasses = FewShot | AnyShot | PartlyLabelled
"""Episodes that are drawn from a source of classes."""


class CoTraining(TaskDistribution[CotrainedEpisode]):
    """Each episode with a batch of `size` examples of the first `classes` classes of its source.

    >>> tasks = CoTraining(FewShot(source, way=5, shot=1, query=15), size=64, classes=1000)
    >>> tasks.sample(key).batch.y.shape
    (64,)
    """

    episodes: OfClasses
    size: int = eqx.field(static=True)
    classes: int = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray) -> CotrainedEpisode:
        for_episode, for_batch = jax.random.split(key)
        episode = self.episodes.sample(for_episode)
        batches = Batches(self.episodes.source, self.size, self.classes)
        batch = batches.sample(for_batch).query
        return CotrainedEpisode(episode.support, episode.query, episode.likelihood, batch)

    def protocol(self) -> dict[str, Any]:
        words = {"batch": self.size, "batch classes": self.classes}
        return {**self.episodes.protocol(), **words}
