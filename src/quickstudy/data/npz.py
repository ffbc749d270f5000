"""The user's own arrays."""

from __future__ import annotations

from typing import ClassVar

from quickstudy.data.own import Own
from quickstudy.datasets import arrays
from quickstudy.datasets.grouped import Grouped


class Arrays(Own):
    """An archive with the inputs x and the labels y."""

    name: ClassVar[str] = "npz"
    place: ClassVar[str] = "PATH"
    about: ClassVar[str] = "your own arrays x and y"
    embeds: ClassVar[bool] = True

    def read(self) -> Grouped:
        return self.embedded(arrays.load(self.path))
