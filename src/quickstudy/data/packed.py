"""The user's own images, packed."""

from __future__ import annotations

from typing import ClassVar

from quickstudy.data.own import Own
from quickstudy.datasets import packed
from quickstudy.datasets.grouped import Grouped


class Packed(Own):
    """Images in one file, which may be more than memory holds."""

    name: ClassVar[str] = "packed"
    place: ClassVar[str] = "FOLDER"
    about: ClassVar[str] = (
        "your own images beyond memory, as quickstudy data folder:PATH packs them"
    )
    is_bytes: ClassVar[bool] = True
    embeds: ClassVar[bool] = True

    def read(self) -> Grouped:
        read = packed.load(self.path)
        return self.embedded(read, packed.as_photographed(read))

    def strokes(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 3 and shape[-1] == 1
