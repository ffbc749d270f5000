"""Training examples of which some have wrong labels, beside a few whose labels are right."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from quickstudy.likelihood import Categorical
from quickstudy.task import Episode, Examples, TaskDistribution


class NumberedEpisode(Episode):
    """An episode whose support examples are some of a fixed list, for learners that keep
    something for each of these."""

    numbers: Int[Array, " n"]
    """The place in that list of each support example."""


class Mislabelled(TaskDistribution[NumberedEpisode]):
    """Batches of `batch` numbered training examples (support) and of as many clean ones (query).
    Bytes become numbers from 0 to 1."""

    noisy: Examples
    clean: Examples
    classes: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray) -> NumberedEpisode:
        for_noisy, for_clean = jax.random.split(key)
        numbers = jax.random.randint(for_noisy, (self.batch,), 0, len(self.noisy.y))
        others = jax.random.randint(for_clean, (self.batch,), 0, len(self.clean.y))
        return NumberedEpisode(
            support=picked(self.noisy, numbers),
            query=picked(self.clean, others),
            likelihood=Categorical(self.classes),
            numbers=numbers,
        )

    def protocol(self) -> dict[str, Any]:
        return {"examples": len(self.noisy.y), "clean": len(self.clean.y), "batch": self.batch}


def picked(examples: Examples, numbers: Int[Array, " n"]) -> Examples:
    return Examples(as_numbers(examples.x[numbers]), examples.y[numbers])


def as_numbers(x: Shaped[Array, "*shape"]) -> Float[Array, "*shape"]:
    return x.astype(float) / 255 if x.dtype == jnp.uint8 else x


def flipped(
    labels: np.ndarray, share: float, classes: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which a random `share`, rounded, is another class, each other one as likely; and
    which ones were (bool)."""
    rng = np.random.default_rng(seed)
    wrong = np.zeros(len(labels), bool)
    wrong[rng.permutation(len(labels))[: round(share * len(labels))]] = True
    moved = (labels + rng.integers(1, classes, len(labels))) % classes
    return np.where(wrong, moved, labels), wrong
