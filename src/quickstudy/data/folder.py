"""The user's own images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Literal

from quickstudy.data.own import Own
from quickstudy.datasets import folder
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.images import ImageFormat, Ink

InkColour = Literal["auto", "dark", "light"]


def image_format(size: int, color: bool, ink: InkColour) -> ImageFormat:
    """What the user's own images become."""
    return ImageFormat(size, 3, ink=None) if color else ImageFormat(size, 1, ink=ink)


class Folder(Own):
    """A folder with a sub-folder for each class."""

    name: ClassVar[str] = "folder"
    place: ClassVar[str] = "PATH"
    about: ClassVar[str] = "your own images: a sub-folder for each class"
    is_bytes: ClassVar[bool] = True
    embeds: ClassVar[bool] = True

    def read(self) -> Grouped:
        options = self.options
        if self.model is not None:
            return folder.embedded(self.path, self.model)
        ink = options.ink
        if options.inputs is not None:
            ink = options.inputs.ink or "auto"
        return folder.load(self.path, image_format(options.image_size, options.color, ink))

    @cached_property
    def files(self) -> list[str]:
        """Of all examples, as they were read."""
        return folder.files_in_order(self.path)

    def example_names(self, examples: Grouped, rows: Sequence[int]) -> list[str]:
        assert examples.rows is not None
        return [self.files[examples.rows[row]] for row in rows]

    def strokes(self, shape: tuple[int, ...]) -> bool:
        return not self.options.color and self.options.embed is None

    def ink(self, part: str) -> Ink | None:
        return self.grouped(part).ink
