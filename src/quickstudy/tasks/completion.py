"""Pictures as functions from a position to an intensity (Garnelo et al. 2018, section 4.2): some
pixels are given, and the others are predicted."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from quickstudy.likelihood import HeteroscedasticGaussian
from quickstudy.task import Episode, Examples
from quickstudy.tasks.arrays import shares
from quickstudy.tasks.finite import Redrawn
from quickstudy.tasks.gaussian_processes import with_random_size


def places(height: int, width: int) -> Float[Array, "pixels 2"]:
    """Return the (row, column) of each pixel, row by row, from -2 to 2 like the inputs of
    `GaussianProcesses`. The paper has 0 to 1; there a network learns distances between positions
    more slowly.

    >>> places(2, 2)[1]
    Array([-2.,  2.], dtype=float32)
    """
    rows, columns = jnp.linspace(-2, 2, height), jnp.linspace(-2, 2, width)
    return jnp.stack(jnp.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)


class Completion(Redrawn):
    """Each episode is a picture: x is the position of a pixel, y its intensity from 0 to 1. A
    random number of pixels from `least` to `shot` are the context, and the rest of the support set
    is unlabelled; `query` other pixels are the targets. All are distinct.

    `sample(key, examples)` is the picture of `key`, with pixels drawn by the second key.

    >>> Completion(pictures, shot=100, query=200).sample(key).query.y.shape
    (200, 1)
    """

    pictures: Shaped[Array, "n height width 1"]
    shot: int = eqx.field(static=True)
    query: int = eqx.field(static=True)
    least: int = eqx.field(static=True, default=0)
    words: tuple[tuple[str, Any], ...] = eqx.field(static=True, default=())
    """The entries of `protocol` that describe the pictures."""
    likelihood: HeteroscedasticGaussian = HeteroscedasticGaussian()

    def __check_init__(self):
        pixels = self.pictures.shape[1] * self.pictures.shape[2]
        if self.shot + self.query > pixels:
            raise ValueError(f"{self.shot} and {self.query} pixels of a picture of {pixels}")

    def sample(self, key: PRNGKeyArray, examples: PRNGKeyArray | None = None) -> Episode:
        choose, for_pixels = jax.random.split(key)
        order, for_size = jax.random.split(for_pixels if examples is None else examples)
        _, height, width, _ = self.pictures.shape
        picture = self.pictures[jax.random.randint(choose, (), 0, len(self.pictures))]
        chosen = jax.random.permutation(order, height * width)[: self.shot + self.query]
        x, y = places(height, width)[chosen], shares(picture).reshape(-1, 1)[chosen]
        return Episode(
            support=with_random_size(
                for_size, Examples(x[: self.shot], y[: self.shot]), self.least
            ),
            query=Examples(x[self.shot :], y[self.shot :]),
            likelihood=self.likelihood,
        )

    def protocol(self) -> dict[str, Any]:
        counts = {"shot": [self.least, self.shot], "queries": self.query}
        return {**dict(self.words), **counts}
