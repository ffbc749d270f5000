"""Characters that no learner of the package was trained on: to be tried."""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.datasets import cache, omniglot
from quickstudy.errors import UserError
from quickstudy.serving.server import schemas
from quickstudy.serving.server.asking import png
from quickstudy.tasks.glyphs import Glyphs, glyph_splits

MOST_CHARACTERS, MOST_DRAWINGS = 20, 10
GLYPH_SIZE = 84
"""Pixels of a glyph's side: learners shrink it."""


Named = tuple[str, list[np.ndarray]]
"""A character and drawings of it: uint8 (height, width), ink 255."""


class HeldOut:
    """A source of them: test characters of Omniglot where its data is here, test glyphs elsewhere.

    >>> HeldOut().some(3, 5, seed=7).characters[0].pictures
    """

    def __init__(self):
        self._omniglot = _omniglot()
        self.source: Literal["omniglot", "glyphs"] = "glyphs"
        self.words = "procedural glyphs beyond those of training and validation"
        if self._omniglot is not None:
            self.source, self.words = "omniglot", "test characters of Omniglot"

    def some(self, count: int, drawings: int, seed: int) -> schemas.Characters:
        """Some characters, with some drawings of each, dark on white."""
        rng = np.random.default_rng(seed)
        made = self._of_omniglot if self._omniglot is not None else self._of_glyphs
        characters = [
            schemas.Character(name, [png(255 - ink) for ink in pictures[:drawings]])
            for name, pictures in made(count, rng)
        ]
        return schemas.Characters(self.source, self.words, characters)

    def _of_omniglot(self, count: int, rng: np.random.Generator) -> list[Named]:
        assert self._omniglot is not None
        names, bits = self._omniglot
        found = []
        for at in rng.choice(len(names), count, replace=False):
            rows = bits[at][rng.permutation(len(bits[at]))[:MOST_DRAWINGS]]
            found.append((str(names[at]), list(omniglot.drawings(rows))))
        return found

    def _of_glyphs(self, count: int, rng: np.random.Generator) -> list[Named]:
        labels = rng.choice(100_000, MOST_CHARACTERS, replace=False)
        source = glyph_splits(GLYPH_SIZE)["test"]
        x = np.asarray(_drawn(source, labels, np.uint32(rng.integers(2**32))))
        ink = np.round(255 * np.clip(x[..., 0], 0, 1)).astype(np.uint8)
        first = int(source.first)
        return [(f"glyph {first + labels[i]}", list(ink[i])) for i in range(count)]


@jax.jit
def _drawn(source: Glyphs, labels: jax.Array, seed: jax.Array) -> jax.Array:
    keys = jax.random.split(jax.random.key(seed), MOST_CHARACTERS)
    draw = partial(source.draw, count=MOST_DRAWINGS)
    return jax.vmap(draw)(keys, jnp.asarray(labels))


def _omniglot() -> tuple[np.ndarray, np.ndarray] | None:
    """The names of the test characters and their drawings, one bit a pixel; None where the data is
    not here."""
    try:
        if cache.find("omniglot.npz") is None:
            return None
        return omniglot.bits_of("test")
    except UserError:
        return None
