"""The user's own images, packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

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
        return self.embedded(read, as_photographed(read))

    def strokes(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 3 and shape[-1] == 1


@dataclass(frozen=True)
class Photographed(Sequence[np.ndarray]):
    """Packed pictures with dark and light as in their files, read one by one."""

    rows: packed.Rows
    inverted: bool

    def __len__(self) -> int:
        return self.rows.length

    def __getitem__(self, number: Any) -> Any:
        found = self.rows.read(np.asarray(number))
        return 255 - found if self.inverted else found


def as_photographed(read: Grouped) -> Photographed:
    """The pictures of a packed data set as they were before dark ink became bright."""
    assert isinstance(read.x, np.memmap)
    inverted = read.ink is not None and read.ink.colour == "dark"
    return Photographed(packed.Rows.of(read.x), inverted)
