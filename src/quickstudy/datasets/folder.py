"""Your own images: a folder with one sub-folder a class.

birds/
  robin/  001.jpg  002.png  garden/003.jpg
  wren/   a.webp   b.webp
"""

from pathlib import Path

import numpy as np
from PIL import Image

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
    if not path.is_dir():
        raise UserError(f"there is no folder {path}: check its path")
    classes = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise UserError(
            f"{path} has no sub-folders: put the images of each class in a sub-folder of its own"
        )
    files, labels = [], []
    for folder in classes:
        images = image_files(folder)
        if not images:
            raise UserError(f"class folder {folder} has no images: add some, or take it away")
        files += images
        labels += [folder.name] * len(images)
    x = np.empty((len(files), format.size, format.size, format.channels), np.uint8)
    for row, file in zip(x, files, strict=True):
        row[:] = read_image(file, format)
    return Grouped.from_labels(x, labels)


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
