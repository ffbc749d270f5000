"""Birds with descriptions."""

from __future__ import annotations

from typing import ClassVar

from quickstudy.data.own import Own
from quickstudy.datasets import cub
from quickstudy.datasets.grouped import Grouped


class Birds(Own):
    """200 kinds of birds, by image features of the user's own."""

    name: ClassVar[str] = "cub"
    place: ClassVar[str] = "FOLDER"
    about: ClassVar[str] = (
        "200 kinds of birds with descriptions (Wah et al. 2011), your own image features"
    )

    def read(self) -> Grouped:
        return cub.load(self.path)

    def described(self, part: str):
        from quickstudy.tasks.zero_shot import Described

        if self.rotations != "none":
            return super().described(part)
        return Described(self.source(part), self.divided(cub.attributes(self.path))[part].x)
