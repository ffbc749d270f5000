"""Your own images: a folder with one sub-folder a class.

birds/
  robin/  001.jpg  002.png  garden/003.jpg
  wren/   a.webp   b.webp
"""

from pathlib import Path

import numpy as np
from PIL import Image

from quickstudy.datasets import packed
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.images import ImageFormat, read_image
from quickstudy.errors import UserError


def load(path: Path, format: ImageFormat) -> Grouped:
    """Every image of a folder, uint8 (N, size, size, channels), grouped by sub-folder.

    The name of a sub-folder is the name of its class; images are taken from all depths within
    it, sorted by path. Hidden files and files that are no images by their suffix are ignored.

    Raises `UserError` for a missing folder, one without sub-folders, a class without images,
    and an image that cannot be read, each by name.

    >>> load(Path("birds"), ImageFormat(84, 3, ink=False)).names
    ('robin', 'wren')
    """
    classes = classes_of(path)
    files = [file for images in classes.values() for file in images]
    x = np.empty((len(files), format.size, format.size, format.channels), np.uint8)
    for row, file in zip(x, files, strict=True):
        row[:] = read_image(file, format)
    return Grouped.from_labels(x, np.repeat(list(classes), [len(x) for x in classes.values()]))


def pack(path: Path, format: ImageFormat, out: Path) -> None:
    """What `load` gives, as a packed data set in the folder `out`, with one image at a time in
    memory. Raises `UserError` as `load` and `packed.write` do."""
    classes = classes_of(path)
    packed.write(
        out,
        (read_image(file, format) for images in classes.values() for file in images),
        {name: len(images) for name, images in classes.items()},
        (format.size, format.size, format.channels),
        show_progress=True,
    )


def classes_of(path: Path) -> dict[str, list[Path]]:
    """The images of each class, by the sorted names of the classes."""
    if not path.is_dir():
        raise UserError(f"there is no folder {path}: check its path")
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise UserError(
            f"{path} has no sub-folders: put the images of each class in a sub-folder of its own"
        )
    found = {folder.name: image_files(folder) for folder in folders}
    for name, images in found.items():
        if not images:
            raise UserError(f"class folder {path / name} has no images: add some, or take it away")
    return found


def image_files(folder: Path) -> list[Path]:
    """The images in a folder, at all depths, sorted by path: files that are not hidden, with a
    suffix that Pillow can open."""
    known = {
        suffix for suffix, format in Image.registered_extensions().items() if format in Image.OPEN
    }
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in known
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.is_file()
    )
