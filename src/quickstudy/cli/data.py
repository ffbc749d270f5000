"""quickstudy data: which data sets are here; download and prepare one, or pack your own."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import tyro

from quickstudy.cli import show
from quickstudy.cli.options import read
from quickstudy.data.options import DataOptions
from quickstudy.data.own import Own
from quickstudy.data.registry import KINDS, data_of
from quickstudy.errors import UserError, nearest
from quickstudy.numbers import at_least

FETCHED = tuple(name for name, kind in KINDS.items() if kind.downloads)


@dataclass(frozen=True)
class Data:
    """Without a name, say where data is looked for and what is there. With omniglot, mnist or
    lake-runs, make sure that it is: download, check and prepare it. With folder:PATH, pack your
    own images into one file, from which --tasks packed:FOLDER trains although they may be more
    than memory holds; with packed:FOLDER, compare all of them with their checksums. With --embed,
    write features of your own pictures or texts for --tasks npz:FILE. glyphs, sinusoid and Gaussian
    processes need nothing."""

    name: tyro.conf.Positional[str] = ""
    """omniglot, mnist, lake-runs, folder:PATH or packed:FOLDER; with --embed also npz:PATH and
    text:PATH."""
    image_size: int = 28
    """Height and width to prepare, in pixels (not of mnist)."""
    color: bool = False
    """Keep the colours of your own images; by default they become ink on paper, one channel."""
    ink: Literal["auto", "dark", "light"] = "auto"
    """What is ink in your own images without --color: dark on a light ground, light on a dark
    one, or what most of the images have at their border."""
    embed: str | None = None
    """A model, MODEL.onnx with MODEL.json beside it: write what it makes of your own data."""
    text_column: str = "text"
    """With --embed: the column of a table that holds your own texts …"""
    label_column: str = "label"
    """… and the column that holds the class."""
    out: Path | None = None
    """Where to put your own packed images: a folder that is not there yet; or features: an .npz."""

    def __post_init__(self):
        at_least(self, image_size=16)
        if self.embed is not None:
            self.features()
            return
        kind, _, path = self.name.partition(":")
        if self.name not in ("", *FETCHED) and not (kind in ("folder", "packed") and path):
            known = nearest(kind, [*FETCHED, "folder:PATH", "packed:FOLDER"])
            raise UserError(f"there is no data set {self.name!r} to prepare: {known}")
        if (kind == "folder") != (self.out is not None):
            raise UserError("to pack your own images: quickstudy data folder:PATH --out FOLDER")
        if self.ink != "auto" and (self.color or kind != "folder"):
            raise UserError(f"--ink {self.ink} is for folder:PATH without --color")

    def features(self) -> DataOptions:
        """Say which data features are made of. Raises `UserError` unless a model can make them, and
        there is a file to write them to."""
        names = [f.name for f in fields(self) if f.name not in ("name", "out")]
        options = DataOptions(self.name, **{name: getattr(self, name) for name in names})
        if self.out is None or self.out.suffix != ".npz":
            raise UserError(f"--embed {self.embed} writes features: add --out FILE.npz")
        return options


def write_features(options: Data) -> None:
    """Write the features of the user's own data, and say what was written."""
    from quickstudy.datasets import arrays

    assert options.out is not None
    arrays.require_free(options.out)
    data = data_of(options.features())
    assert isinstance(data, Own)
    found = data.everything
    arrays.save(options.out, found)
    show.line(f"{len(found.x)} examples of {found.classes} classes, {found.x.shape[1]} features")
    show.line(f"written: {options.out}    next: --tasks npz:{options.out}")


def run(words: list[str]) -> int:
    """The command."""
    options = read(Data, words, "quickstudy data")
    if options.embed is not None:
        write_features(options)
        return 0

    from quickstudy.data.folder import image_format
    from quickstudy.datasets import cache, folder, packed

    path = Path(options.name.partition(":")[2])
    if options.out is not None:
        format = image_format(options.image_size, options.color, options.ink)
        if ink := folder.pack(path, format, options.out):
            show.line(f"{path} is read as {ink}")
        show.line(f"packed: {options.out}    next: --tasks packed:{options.out}")
        return 0
    if options.name.startswith("packed:"):
        found = packed.check(path, show_progress=True)
        show.line(f"whole: {len(found.x)} pictures of {found.classes} classes")
        return 0
    if options.name:
        for line in KINDS[options.name].fetch(options.image_size):
            show.line(line)
        return 0
    for place in cache.folders():
        show.line(f"looked for in {place}")
    for name, kind in KINDS.items():
        if found := kind.find():
            show.line(f"{name}: {found}")
    return 0
