"""Support sets of any size by one compiled program.

A set of n examples of k classes is padded to N examples, the others with the label -1, and to K
classes, of which those from k on have no example. A learner puts such classes last
(`likelihood.absent_last`), or has a head of K outputs that learned none of them; both ways the
logits of the first k classes are all that is read. Batch normalisation by the support set counts
labelled rows alone (`networks/counted.py`). So a padded set gives the answers of the set itself,
where a learner looks at labelled examples only; `same_answers` finds out whether it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from quickstudy.learner import Learner, Predictor
from quickstudy.learners.distances import squared_distances
from quickstudy.likelihood import Categorical
from quickstudy.networks.counted import counting, plain
from quickstudy.open_set import Seen
from quickstudy.serving.adapted import NEAREST, SEED, learned
from quickstudy.task import Examples

SMALLEST, GROWTH = 32, 4
"""The smallest number of examples that sets are padded to, and how much larger the next one is."""

QUERIES = (1, 32)
"""The numbers of inputs that are compared at a time."""


@dataclass(frozen=True)
class Room:
    """What sets are padded to."""

    sizes: tuple[int, ...]
    """Numbers of examples, in ascending order."""
    classes: int

    @staticmethod
    def of(examples: int, classes: int) -> Room:
        """Make room for so many examples and classes.

        >>> Room.of(200, 20).sizes
        (32, 128, 200)
        """
        sizes = [SMALLEST]
        while sizes[-1] < examples:
            sizes.append(sizes[-1] * GROWTH)
        return Room((*sizes[:-1], min(examples, sizes[-1])), classes)

    def padded(self, x: np.ndarray, y: np.ndarray) -> Examples:
        """Pad a set to the next size. Raises `ValueError` where it is too large."""
        size = next(size for size in (*self.sizes, -1) if size >= len(y) or size < 0)
        if size < 0:
            raise ValueError(f"at most {self.sizes[-1]} examples")
        rows = np.full(size, -1, np.int32)
        rows[: len(y)] = y
        return examples(filled(x, size), rows)


def examples(x: np.ndarray, y: np.ndarray) -> Examples:
    """Arrays of NumPy on the device: nothing is compiled to put them there."""
    return Examples(jax.device_put(x), jax.device_put(y))


def filled(x: np.ndarray, size: int) -> np.ndarray:
    """Add rows of zeros up to a number of rows."""
    return np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])


class Compared(NamedTuple):
    """What a predictor says of m inputs, as arrays of NumPy."""

    logits: np.ndarray
    """(m, classes)."""
    features: np.ndarray
    differences: np.ndarray
    """`open_set.Seen.distances`."""
    near: np.ndarray
    """(m, at most `NEAREST`): the places of the nearest support examples, nearest first …"""
    far: np.ndarray
    """… and their squared distances."""
    attention: np.ndarray | None
    """(m, examples)."""


@eqx.filter_jit
def adapted(learner: Learner, support: Examples, ways: int) -> tuple[Predictor, Seen]:
    """Adapt to a padded set."""
    return plain(learned(counting(learner, support.y >= 0), support, ways))


@eqx.filter_jit
def _compared(predictor: Predictor, seen: Seen | None, x: Array) -> tuple[Any, ...]:
    logits = predictor(x)
    if seen is None:
        nothing = jnp.zeros((len(x), 0))
        return logits, nothing, nothing[..., None], nothing.astype(int), nothing, None
    z = predictor.embed(x)
    features, differences = seen.distances(z, x)
    distances = squared_distances(z, seen.features)
    distances = jnp.where(seen.y >= 0, distances, jnp.inf)
    nearest, near = jax.lax.top_k(-distances, min(NEAREST, len(seen.y)))
    return logits, features, differences, near, -nearest, predictor.attention(x)


@eqx.filter_jit
def _by_steps(learner: Learner, support: Examples, ways: int, x: Array) -> Array | None:
    counted = counting(learner, support.y >= 0)
    return counted.by_steps(support, Categorical(ways), x, key=jax.random.key(SEED))


def _batches(x: np.ndarray, sizes: Sequence[int]) -> Iterator[tuple[np.ndarray, int]]:
    """Inputs in padded batches, and how many of each are inputs."""
    size = next((size for size in sizes if size >= len(x)), sizes[-1])
    for start in range(0, len(x), size):
        some = x[start : start + size]
        yield filled(some, size), len(some)


def compare(
    predictor: Predictor, seen: Seen | None, x: np.ndarray, classes: int, examples: int
) -> Compared:
    """Ask a predictor about one input or more. The set that it was adapted to had so many classes
    and examples: nothing is said of the padding."""
    parts = []
    for batch, count in _batches(x, QUERIES):
        found = _compared(predictor, seen, jax.device_put(batch))
        parts.append([None if one is None else np.asarray(one)[:count] for one in found])
    *several, attention = zip(*parts, strict=True)
    logits, features, differences, near, far = map(np.concatenate, several)
    shown = min(NEAREST, examples)
    return Compared(
        logits[:, :classes],
        features,
        differences[:, :examples],
        near[:, :shown],
        np.maximum(far[:, :shown], 0),
        None if attention[0] is None else np.concatenate(attention)[:, :examples],
    )


def by_steps(
    learner: Learner, support: Examples, room: Room, x: np.ndarray, classes: int
) -> np.ndarray | None:
    """The logits (steps, m, classes) of m inputs after each step of adaptation to a padded set;
    None for a learner without steps."""
    parts = []
    for batch, count in _batches(x, QUERIES[-1:]):
        found = _by_steps(learner, support, room.classes, jax.device_put(batch))
        if found is None:
            return None
        parts.append(np.asarray(found)[:, :count, :classes])
    return np.concatenate(parts, axis=1)


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities along the last axis."""
    z = logits.astype(np.float64) / temperature
    p = np.exp(z - z.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def same_answers(learner: Learner, room: Room, noise: np.ndarray) -> bool:
    """Whether padding changes nothing: neither what it holds, nor how much of it there is. `noise`
    are inputs (32, …) of any kind; two classes of three are adapted to."""
    x, y = noise[:6], np.array([0, 0, 0, 1, 1, 1], np.int32)
    small = room.padded(x, y)
    other = examples(np.concatenate([x, noise[6 : len(small.y)]]), np.asarray(small.y))
    large = Room(room.sizes[-1:], room.classes).padded(x, y)
    found = [
        compare(*adapted(learner, support, room.classes), noise, 2, 6).logits
        for support in (small, other, large)
    ]
    if not all(np.isfinite(one).all() for one in found):
        return False
    scale = np.abs(found[0]).max() + 1e-6
    return all(np.abs(one - found[0]).max() < TOLERANCE * scale for one in found[1:])


TOLERANCE = 1e-3
"""Of logits, as a share of the largest: programs of another size round otherwise."""
