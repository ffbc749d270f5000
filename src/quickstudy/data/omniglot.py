"""Handwritten characters."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Literal

from quickstudy.data.real import Real, fewer
from quickstudy.datasets import cache, omniglot
from quickstudy.datasets.grouped import Grouped


class OmniglotCharacters(Real):
    """1,623 characters of 50 alphabets, 20 drawings of each."""

    name: ClassVar[str] = "omniglot"
    family: ClassVar[str] = "omniglot"
    downloads: ClassVar[bool] = True
    about: ClassVar[str] = "1,623 handwritten characters of 50 alphabets (Lake et al. 2015)"
    is_bytes: ClassVar[bool] = True
    default_rotations: ClassVar[Literal["none", "classes", "episode"]] = "classes"

    @cached_property
    def parts(self) -> dict[str, Grouped]:
        """The drawings of each part."""
        parts = omniglot.load(self.options.image_size).split(self.split_words)
        some = fewer(parts["train"].names, self.options.train_classes)
        return {**parts, "train": parts["train"].named(some)}

    @property
    def split_words(self) -> str:
        return self.options.split or "vinyals"

    def grouped(self, part: str) -> Grouped:
        return self.parts[part]

    def strokes(self, shape: tuple[int, ...]) -> bool:
        return True

    @classmethod
    def find(cls) -> str:
        return str(cache.find("omniglot.npz") or "not here; quickstudy data omniglot downloads it")

    @classmethod
    def fetch(cls, image_size: int) -> list[str]:
        loaded = omniglot.load(image_size)
        said = [f"omniglot: {loaded.grouped.classes} characters, {len(loaded.grouped.x)} drawings"]
        for name in ("vinyals", "lake", "maml"):
            sizes = "/".join(str(part.classes) for part in loaded.split(name).values())
            said.append(f"--split {name}: {sizes} train/validation/test characters")
        return said
