"""Handwritten digits."""

from __future__ import annotations

import functools
from functools import cached_property
from typing import ClassVar

import numpy as np

from quickstudy.data.real import Real
from quickstudy.datasets import cache, mnist
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.images import resized

VALIDATION_PICTURES = 5000
"""Of the training part: its last pictures."""


class Digits(Real):
    """Ten classes, to test on alone."""

    name: ClassVar[str] = "mnist"
    downloads: ClassVar[bool] = True
    about: ClassVar[str] = "handwritten digits (LeCun et al. 1998), to test on alone"
    test_only: ClassVar[bool] = True
    is_bytes: ClassVar[bool] = True

    @cached_property
    def test(self) -> Grouped:
        """The test digits."""
        digits = mnist.load()
        return Grouped.from_labels(resized(digits.test_x, self.options.image_size), digits.test_y)

    @property
    def split_words(self) -> str:
        return self.options.split or "its own"

    def grouped(self, part: str) -> Grouped:
        self.refuse_training(part)
        return self.test

    @classmethod
    def find(cls) -> str:
        return str(cache.find("mnist.npz") or "not here; quickstudy data mnist downloads it")

    @classmethod
    def fetch(cls, image_size: int) -> list[str]:
        digits = mnist.load()
        return [f"mnist: {len(digits.train_y)} digits to train on, {len(digits.test_y)} to test"]


@functools.lru_cache(maxsize=1)
def mnist_pictures(size: int) -> dict[str, np.ndarray]:
    """The digits of each part, (n, size, size, 1) bytes."""
    digits = mnist.load()
    train, test = resized(digits.train_x, size), resized(digits.test_x, size)
    last = len(train) - VALIDATION_PICTURES
    return {"train": train[:last], "validation": train[last:], "test": test}
