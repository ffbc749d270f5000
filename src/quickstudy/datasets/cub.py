"""Caltech-UCSD Birds 200-2011 (Wah et al. 2011): features of images, and attributes of classes.

The folder of the official archive, and a matrix of image features made with any network:

CUB_200_2011/
  classes.txt                       1 001.Black_footed_Albatross
  images.txt                        1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg
  image_class_labels.txt            1 1
  attributes/class_attribute_labels_continuous.txt      a row of 312 numbers for each class
  features.npy                      a row for each line of images.txt; or features.npz with x
"""

from pathlib import Path

import numpy as np

from quickstudy.datasets.arrays import DAMAGE, read_npz
from quickstudy.datasets.grouped import Grouped
from quickstudy.errors import UserError

ATTRIBUTES = Path("attributes") / "class_attribute_labels_continuous.txt"


def load(path: Path) -> Grouped:
    """The features of all images, float32 (N, features), grouped by the names of their classes.

    Raises `UserError` naming the file, and the line where there is one: a file that is missing or
    not of its form, classes without images, features that are not a row of finite numbers for
    each image.

    >>> load(Path("CUB_200_2011")).classes
    200
    """
    names = classes(path)
    images = listed(path / "images.txt")
    labels = listed(path / "image_class_labels.txt")
    if len(labels) != len(images):
        raise UserError(
            f"{path}: image_class_labels.txt has {len(labels)} lines and images.txt "
            f"{len(images)}: unpack the archive anew"
        )
    known = {str(number): name for number, name in enumerate(names, 1)}
    for line, label in enumerate(labels, 1):
        if label not in known:
            raise UserError(
                f"{path / 'image_class_labels.txt'}, line {line}: classes.txt has no class {label}"
            )
    if missing := sorted(set(known) - set(labels), key=int):
        raise UserError(
            f"{path / 'image_class_labels.txt'} has no image of class {known[missing[0]]!r}"
        )
    return Grouped.from_labels(features(path, len(images)), [known[label] for label in labels])


def attributes(path: Path) -> Grouped:
    """The attributes of each class, float32 (classes, attributes): one row a class, in the order
    of `load`.

    Raises `UserError` as `load` does.
    """
    names, file = classes(path), path / ATTRIBUTES
    try:
        rows = [[float(word) for word in line.split()] for line in lines(file)]
    except ValueError as error:
        raise UserError(f"{file} must hold numbers alone: {error}") from None
    widths = {len(row) for row in rows}
    if len(rows) != len(names) or len(widths) != 1:
        raise UserError(
            f"{file} has {len(rows)} rows of {' or '.join(map(str, sorted(widths)))} numbers: it "
            f"must have one for each of {len(names)} classes, all as long"
        )
    return Grouped.from_labels(finite(np.asarray(rows), file), names)


def classes(path: Path) -> list[str]:
    """The names of the classes, by their numbers from 1 on."""
    if not path.is_dir():
        raise UserError(f"there is no folder {path}: check its path")
    names = listed(path / "classes.txt")
    if len(set(names)) < len(names):
        raise UserError(f"{path / 'classes.txt'} names a class twice: unpack the archive anew")
    return names


def lines(file: Path) -> list[str]:
    """The lines of a text file, empty ones at the end left out."""
    try:
        read = file.read_text(encoding="utf-8").rstrip().splitlines()
    except FileNotFoundError:
        raise UserError(
            f"there is no file {file}: cub:FOLDER takes the folder of the official archive"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read ({error}): unpack the archive anew") from None
    if not read:
        raise UserError(f"{file} is empty: unpack the archive anew")
    return read


def listed(file: Path) -> list[str]:
    """What a file says of 1, 2, 3 …, a line each: the number, a space, and a word."""
    found = []
    for number, line in enumerate(lines(file), 1):
        words = line.split()
        if len(words) != 2 or words[0] != str(number):
            raise UserError(f"{file}, line {number}: {line!r} is not {number} and a word")
        found.append(words[1])
    return found


def features(path: Path, images: int) -> np.ndarray:
    """The user's matrix of image features, float32 (images, features)."""
    file = path / "features.npz"
    if file.exists():
        (x,) = read_npz(file, ("x",))
    else:
        file = path / "features.npy"
        try:
            x = np.load(file, allow_pickle=False)
        except FileNotFoundError:
            raise UserError(
                f"{path} has neither features.npy nor features.npz: save a matrix with a row of "
                "image features for each line of images.txt"
            ) from None
        except DAMAGE as error:
            raise UserError(f"{file} is damaged or not an .npy file ({error})") from None
    if not isinstance(x, np.ndarray) or x.ndim != 2 or len(x) != images or not x.shape[1]:
        shape = x.shape if isinstance(x, np.ndarray) else "several arrays"
        raise UserError(
            f"{file} holds {shape}: it must be ({images}, features), a row for each line of "
            "images.txt"
        )
    if x.dtype.kind not in "biuf":
        raise UserError(f"{file} holds {x.dtype}; it must hold real numbers")
    return finite(x, file)


def finite(x: np.ndarray, file: Path) -> np.ndarray:
    """As float32. Raises `UserError` where a row holds what is no finite number there."""
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    rows = np.isfinite(x).all(axis=1)
    if not rows.all():
        raise UserError(f"{file}, row {int(rows.argmin()) + 1}: a value is not a finite number")
    return x
