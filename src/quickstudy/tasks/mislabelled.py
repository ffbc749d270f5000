"""Training examples with some wrong labels, and a few examples with correct labels."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from quickstudy.likelihood import Categorical
from quickstudy.task import Episode, Examples, TaskDistribution


class NumberedEpisode(Episode):
    """An episode whose support examples come from a fixed list, for learners that have parameters
    for each example."""

    numbers: Int[Array, " n"]
    """The index of each support example in the list."""


class Mislabelled(TaskDistribution[NumberedEpisode]):
    """Batches of `batch` numbered training examples (support) and equally many clean examples
    (query). Bytes become numbers from 0 to 1."""

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
    """Replace a random `share` of the labels, rounded, by another class, all other classes equally
    likely. Return the labels and a mask of the replaced ones (bool)."""
    rng = np.random.default_rng(seed)
    wrong = np.zeros(len(labels), bool)
    wrong[rng.permutation(len(labels))[: round(share * len(labels))]] = True
    moved = (labels + rng.integers(1, classes, len(labels))) % classes
    return np.where(wrong, moved, labels), wrong
