"""Pictures of digits as functions."""

from __future__ import annotations

from typing import ClassVar

from quickstudy.data.kind import Functions
from quickstudy.data.mnist import mnist_pictures
from quickstudy.errors import UserError


class DigitCompletion(Functions):
    """A picture an episode: from the intensity of some pixels, that of the others."""

    name: ClassVar[str] = "mnist-completion"
    about: ClassVar[str] = "pictures as functions of the place, of which some pixels are told"

    def episodes(self, part: str, way: int, shot: int, query: int):
        import jax.numpy as jnp

        from quickstudy.tasks.completion import Completion

        size = self.options.image_size
        pictures = jnp.asarray(mnist_pictures(size)[part])
        words = (("data", self.name), ("part", part), ("size", size))
        try:
            return Completion(pictures, shot, query, words=words)
        except ValueError as error:
            raise UserError(f"--shot {shot} --query {query}: {error}") from error
