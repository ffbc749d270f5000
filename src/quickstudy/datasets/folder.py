"""Your own images: a folder with one sub-folder a class.

birds/
  robin/  001.jpg  002.png  garden/003.jpg
  wren/   a.webp   b.webp
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from quickstudy.datasets import packed
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.images import ImageFormat, Ink, decided, read_image
from quickstudy.errors import UserError

if TYPE_CHECKING:
    from quickstudy.datasets.embedding import EmbeddingModel


def load(path: Path, format: ImageFormat) -> Grouped:
    """Every image of a folder, uint8 (N, size, size, channels), grouped by sub-folder.

    The name of a sub-folder is the name of its class; images are taken from all depths within
    it, sorted by path. Hidden files and files that are no images by their suffix are ignored.
    Which of dark and light is ink is decided once for all of them (`images.decided`).

    Raises `UserError` for a missing folder, one without sub-folders, a class without images, two
    classes with the same images, and an image that cannot be read, each by name.

    >>> load(Path("birds"), ImageFormat(84, 3, ink=None)).names
    ('robin', 'wren')
    """
    classes = classes_of(path)
    files = [file for images in classes.values() for file in images]
    format, ink = decided(format, files)
    x = np.empty((len(files), format.size, format.size, format.channels), np.uint8)
    for row, file in zip(x, files, strict=True):
        row[:] = read_image(file, format)
    labels = np.repeat(list(classes), [len(x) for x in classes.values()])
    return replace(Grouped.from_labels(x, labels), ink=ink)


def embedded(path: Path, model: EmbeddingModel) -> Grouped:
    """The features of every image of a folder by `model`, float32 (N, features), grouped as `load`
    does. Raises `UserError` as `load` does."""
    classes = classes_of(path)
    x = model.of_files([file for images in classes.values() for file in images])
    labels = np.repeat(list(classes), [len(images) for images in classes.values()])
    return replace(Grouped.from_labels(x, labels), embedding=model.file)


def pack(path: Path, format: ImageFormat, out: Path) -> Ink | None:
    """Write what `load` gives as a packed data set in the folder `out`, with one image at a time
    in memory. Gives what was decided about ink. Raises `UserError` as `load` and `packed.write`
    do."""
    classes = classes_of(path)
    format, ink = decided(format, [file for images in classes.values() for file in images])
    packed.write(
        out,
        (read_image(file, format) for images in classes.values() for file in images),
        {name: len(images) for name, images in classes.items()},
        (format.size, format.size, format.channels),
        ink=ink,
        show_progress=True,
    )
    return ink


def image_files(folder: Path) -> list[Path]:
    """The images in a folder, at all depths, sorted by path: files that are not hidden, with a
    suffix that Pillow can open."""
    known = {
        suffix for suffix, format in Image.registered_extensions().items() if format in Image.OPEN
    }
    return files_of(folder, known)


def files_of(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files in a folder with one of these suffixes (in small letters), at all depths, sorted by
    path. Hidden ones are left out."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.is_file()
    )


def classes_of(
    path: Path, files_in: Callable[[Path], list[Path]] = image_files, what: str = "images"
) -> dict[str, list[Path]]:
    """The images of each class, by the sorted names of the classes; or other files, which
    `files_in` finds in a folder and messages call `what`."""
    if not path.is_dir():
        raise UserError(f"there is no folder {path}: check its path")
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise UserError(
            f"{path} has no sub-folders: put the {what} of each class in a sub-folder of its own"
        )
    _require_apart(path, folders, what)
    found = {folder.name: files_in(folder) for folder in folders}
    for name, files in found.items():
        if not files:
            raise UserError(f"class folder {path / name} has no {what}: add some, or take it away")
    return found


def files_in_order(path: Path, files_in: Callable[[Path], list[Path]] = image_files) -> list[str]:
    """The files of all classes in the order that `load` reads them: example i lies in file number
    `Grouped.rows[i]`."""
    return [str(file) for files in classes_of(path, files_in).values() for file in files]


def _require_apart(path: Path, folders: list[Path], what: str) -> None:
    """Raise `UserError` where a class folder is a link that makes its files those of another class
    as well."""
    real = {folder: folder.resolve() for folder in folders}
    for folder, target in real.items():
        if path.resolve().is_relative_to(target):
            raise UserError(
                f"class folder {folder} is a link to {target}, which holds the whole data set: "
                "take the link away"
            )
        for other, place in real.items():
            if other != folder and target.is_relative_to(place):
                raise UserError(
                    f"class folders {folder} and {other} hold the same {what}, in {target}: "
                    "take one of them away"
                )
