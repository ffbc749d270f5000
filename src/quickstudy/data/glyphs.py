"""Procedural characters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar

from quickstudy.data.kind import Classes

FOR_A_CLASSIFIER = 200
"""Glyphs are endless; a classifier of all training classes gets this many."""


class EndlessGlyphs(Classes):
    """Characters that are drawn by a rule: a million to train on."""

    name: ClassVar[str] = "glyphs"
    about: ClassVar[str] = "procedural characters without end; nothing to download"
    is_bytes: ClassVar[bool] = True

    def drawn(self, part: str):
        from quickstudy.tasks.glyphs import glyph_splits

        made = glyph_splits(self.options.image_size)[part]  # pyright: ignore[reportArgumentType]
        if part == "train" and self.options.train_classes is not None:
            made = dataclasses.replace(made, classes=self.options.train_classes)
        return made

    def for_a_classifier(self):
        source = self.source("train")
        if self.rotations == "none":
            source = dataclasses.replace(source, classes=FOR_A_CLASSIFIER)
        return self.bent(source)

    def strokes(self, shape: tuple[int, ...]) -> bool:
        return True

    def class_name(self, part: str) -> Callable[[int], str]:
        from quickstudy.tasks.glyphs import glyph_splits

        first = int(glyph_splits()[part].first)  # pyright: ignore[reportArgumentType]
        return lambda label: f"glyph {first + label}"

    def most_shots(self, query: int) -> None:
        return None
