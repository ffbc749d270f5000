"""quickstudy data: which data sets are here; download and prepare one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import tyro

from quickstudy.cli import show


@dataclass(frozen=True)
class Data:
    """Without a name, say where data is looked for and what is there. With one, make sure that
    it is: download, check and prepare it. glyphs and sinusoid need nothing."""

    name: tyro.conf.Positional[Literal["", "omniglot", "mnist"]] = ""
    """omniglot or mnist."""
    image_size: int = 28
    """Height and width to prepare, in pixels (omniglot)."""


def run(words: list[str]) -> int:
    """The command."""
    options = tyro.cli(Data, args=words, prog="quickstudy data")

    from quickstudy.datasets import cache, mnist, omniglot

    if options.name == "omniglot":
        loaded = omniglot.load(options.image_size)
        sizes = {
            name: "/".join(str(part.classes) for part in loaded.split(name).values())
            for name in ("vinyals", "lake", "maml")
        }
        show.line(
            f"omniglot: {loaded.grouped.classes} characters, {len(loaded.grouped.x)} drawings"
        )
        show.table(
            "splits", ["name", "train/validation/test characters"], [list(x) for x in sizes.items()]
        )
        return 0
    if options.name == "mnist":
        digits = mnist.load()
        show.line(f"mnist: {len(digits.train_y)} digits to train on, {len(digits.test_y)} to test")
        return 0
    for folder in cache.folders():
        show.line(f"looked for in {folder}")
    for name in ("omniglot", "mnist"):
        found = cache.find(f"{name}.npz")
        show.line(f"{name}: {found or f'not here; quickstudy data {name} downloads it'}")
    return 0
