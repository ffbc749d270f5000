"""Pictures beyond memory: a folder with all of them in one file, of which single rows are read.

birds-84/
  x.npy          uint8 (N, height, width, channels), sorted by class; numpy.load opens it as well
  classes.json   the name of each class, and how many rows it has; written last

Both ways the pictures flow one by one: writing takes them from an iterator, and reading takes the
rows asked for straight from the file.
"""

import functools
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int, Shaped

from quickstudy.datasets import cache
from quickstudy.datasets.grouped import Grouped
from quickstudy.errors import UserError
from quickstudy.progress import progress

PICTURES, CLASSES = "x.npy", "classes.json"


@dataclass(frozen=True)
class Rows:
    """The rows of a memory-mapped array, read from its file when they are needed."""

    path: str
    offset: int
    """Of the first row, in bytes."""
    length: int
    """How many rows there are."""
    shape: tuple[int, ...]
    """Of one row."""
    dtype: str

    @staticmethod
    def of(x: np.memmap) -> "Rows":
        """Those of an array that `numpy.load(path, mmap_mode="r")` gave."""
        return Rows(str(x.filename), x.offset, len(x), x.shape[1:], x.dtype.str)

    @functools.cached_property
    def x(self) -> np.memmap:
        """All of them."""
        return np.memmap(self.path, self.dtype, "r", self.offset, (self.length, *self.shape))

    @functools.cached_property
    def file(self) -> int:
        """Its descriptor, for `ask`."""
        return os.open(self.path, os.O_RDONLY)

    def read(self, numbers: Int[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        """The rows of these numbers, which the kernel fetches all at once: touching them in turn
        would wait for each."""
        numbers = np.asarray(numbers)
        self.ask(numbers)
        return np.asarray(self.x[numbers])

    def ask(self, numbers: Int[np.ndarray, "..."]) -> None:
        """Tell the kernel, where it listens, that these rows will be read; does not wait."""
        if not hasattr(os, "posix_fadvise"):
            return
        length = self.x[0].nbytes
        for number in np.ravel(numbers).tolist():
            start = self.offset + number * length
            os.posix_fadvise(self.file, start, length, os.POSIX_FADV_WILLNEED)


def write(
    folder: Path,
    pictures: Iterable[np.ndarray],
    count: Mapping[str, int],
    shape: tuple[int, int, int],
    *,
    show_progress: bool = False,
) -> None:
    """Pack `pictures`, uint8 of `shape` (height, width, channels), sorted by class: count["wren"]
    of them are wrens, and so on in the order of `count`.

    Raises `UserError` where the folder holds something else already, or its disk is too small.

    >>> write(Path("birds-84"), pictures, {"robin": 1200, "wren": 800}, (84, 84, 3))
    """
    if folder.exists() and not (folder.is_dir() and all(map(_is_rest, folder.iterdir()))):
        raise UserError(f"{folder} exists and is not empty: choose another --out folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}") from None
    for rest in folder.iterdir():
        rest.unlink()
    total = sum(count.values())
    wanted, free = total * int(np.prod(shape)), shutil.disk_usage(folder).free
    if wanted > free:
        raise UserError(
            f"{folder} needs {wanted / 1e9:.1f} GB and {free / 1e9:.1f} GB are free there: choose "
            "an --out folder on another disk, or a smaller --image-size"
        )

    def write_all(file: BinaryIO) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (total, *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        written = 0
        with progress("packing", total, show=show_progress) as reporter:
            for picture in pictures:
                if picture.shape != shape or picture.dtype != np.uint8:
                    raise ValueError(f"{picture.dtype} {picture.shape} is not uint8 {shape}")
                file.write(picture.tobytes())
                written += 1
                reporter.at(written)
        if written != total:
            raise ValueError(f"{written} pictures came, and the classes have {total}")

    cache.save(folder / PICTURES, write_all)
    classes = {"names": list(count), "count": list(count.values())}
    content = json.dumps(classes, indent=1).encode() + b"\n"
    cache.save(folder / CLASSES, lambda file: file.write(content))


def _is_rest(path: Path) -> bool:
    """Whether it was left by a packing that was interrupted."""
    return path.name.startswith((f".{PICTURES}.", f".{CLASSES}."))


def load(folder: Path) -> Grouped:
    """The classes of a packed data set, over a memory-mapped array: nothing is read yet.

    Raises `UserError` for a folder that is missing or was not packed, and for files that are
    damaged or do not fit each other.

    >>> load(Path("birds-84")).x.shape
    (2000, 84, 84, 3)
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: check its path")
    if not (folder / CLASSES).is_file() or not (folder / PICTURES).is_file():
        raise UserError(
            f"{folder} is not a packed data set, or its packing was interrupted: "
            f"quickstudy data folder:PATH --out {folder} makes one"
        )
    names, count = _read_classes(folder / CLASSES)
    x = _open(folder / PICTURES)
    if sum(count) != len(x):
        raise UserError(
            f"{folder / CLASSES} has {sum(count)} examples and {PICTURES} {len(x)}: they are not "
            "of the same packing, pack the data anew"
        )
    count = np.array(count, np.int32)
    return Grouped(x, (np.cumsum(count) - count).astype(np.int32), count, names)


def _read_classes(path: Path) -> tuple[tuple[str, ...], list[int]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        names, count = found["names"], found["count"]
        if not (
            len(names) == len(count) == len(set(names)) > 0
            and all(isinstance(name, str) for name in names)
            and all(type(n) is int and n > 0 for n in count)
        ):
            raise ValueError("names are different strings, and counts whole numbers above 0")
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}): pack the data anew") from None
    return tuple(names), count


def _open(path: Path) -> np.memmap:
    try:
        x = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged or cut off ({error}): pack the data anew") from None
    if not isinstance(x, np.memmap) or x.dtype != np.uint8 or x.ndim != 4 or x.size == 0:
        raise UserError(
            f"{path} holds {x.dtype} {x.shape}; it must hold uint8 (N, height, width, channels)"
        )
    if not x.flags.c_contiguous:
        raise UserError(f"{path} is in Fortran's order: save numpy.ascontiguousarray(x)")
    return x
