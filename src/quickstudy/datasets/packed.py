"""Pictures beyond memory: a folder with all of them in one file, of which single rows are read.

birds-84/
  x.npy          uint8 (N, height, width, channels), sorted by class; numpy.load opens it as well
  crc32.npy      uint32 (N,), the CRC-32 of each picture's bytes
  classes.json   the name of each class, and how many rows it has; for strokes, which of dark and
                 light was ink in their files; with the SHA-256 of all that and of crc32.npy;
                 written last

Both ways the pictures flow one by one: writing takes them from an iterator, and reading takes the
rows asked for straight from the file. A picture is compared with its CRC-32 when it is first read:
a set that is larger than memory is never read as a whole for that, unless `check` is asked to.
Sets that were packed by earlier versions have no checksums.
"""

import functools
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt32

from quickstudy.datasets.arrays import DAMAGE
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.images import Ink
from quickstudy.errors import UserError
from quickstudy.files import LOCK, in_bytes, only_process, read_json, write_atomically
from quickstudy.progress import progress

PICTURES, CHECKSUMS, CLASSES = "x.npy", "crc32.npy", "classes.json"
CHECKED_AT_ONCE = 256


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
    checked: bool = False
    """Whether there are checksums beside the file, which rows are compared with."""

    @staticmethod
    def of(x: np.memmap) -> "Rows":
        """Those of an array that `numpy.load(path, mmap_mode="r")` gave."""
        path = Path(str(x.filename))
        checked = path.name == PICTURES and (path.parent / CHECKSUMS).exists()
        return Rows(str(path), x.offset, len(x), x.shape[1:], x.dtype.str, checked)

    @functools.cached_property
    def x(self) -> np.memmap:
        """All of them."""
        return np.memmap(self.path, self.dtype, "r", self.offset, (self.length, *self.shape))

    @functools.cached_property
    def file(self) -> int:
        """Its descriptor, for `ask`."""
        return os.open(self.path, os.O_RDONLY)

    @functools.cached_property
    def checksums(self) -> UInt32[np.ndarray, " length"]:
        """The CRC-32 of each row."""
        return np.load(Path(self.path).with_name(CHECKSUMS), allow_pickle=False)

    @functools.cached_property
    def unseen(self) -> Bool[np.ndarray, " length"]:
        """Which rows this process has not compared with their checksums yet."""
        return np.full(self.length, self.checked)

    def read(self, numbers: Int[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        """The rows of these numbers, which the kernel fetches all at once: touching them in turn
        would wait for each. Raises `UserError` where one does not have its checksum; each row is
        compared the first time."""
        numbers = np.asarray(numbers)
        self.ask(numbers)
        found = np.asarray(self.x[numbers])
        flat, rows = numbers.ravel(), found.reshape(-1, *self.shape)
        for place in np.flatnonzero(self.unseen[flat]):
            number = flat[place]
            if zlib.crc32(rows[place]) != self.checksums[number]:
                raise UserError(
                    f"{self.path} is damaged: picture {number} does not have its checksum; pack "
                    "the data anew"
                )
            self.unseen[number] = False
        return found

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
    ink: Ink | None = None,
    show_progress: bool = False,
) -> None:
    """Pack `pictures`, uint8 of `shape` (height, width, channels), sorted by class: count["wren"]
    of them are wrens, and so on in the order of `count`. `ink` is what became strokes bright on
    dark, if they are such strokes.

    Raises `UserError` where the folder holds something else already, another process packs into
    it, or its disk is too small.

    >>> write(Path("birds-84"), pictures, {"robin": 1200, "wren": 800}, (84, 84, 3))
    """
    _require_free(folder)
    with only_process(folder, "packs", "--out"):
        _require_free(folder)  # the other process may just have ended
        for rest in folder.iterdir():
            if rest.name != LOCK:
                rest.unlink()
        _write(folder, pictures, count, shape, ink, show_progress)


def _write(
    folder: Path,
    pictures: Iterable[np.ndarray],
    count: Mapping[str, int],
    shape: tuple[int, int, int],
    ink: Ink | None,
    show_progress: bool,
) -> None:
    total = sum(count.values())
    wanted, free = total * int(np.prod(shape)), shutil.disk_usage(folder).free
    if wanted > free:
        raise UserError(
            f"{folder} needs {in_bytes(wanted)} and {in_bytes(free)} are free there: choose "
            "an --out folder on another disk, or a smaller --image-size"
        )

    checksums = np.zeros(total, np.uint32)

    def write_all(file: BinaryIO) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (total, *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        written = 0
        with progress("packing", total, show=show_progress) as reporter:
            for picture in pictures:
                if picture.shape != shape or picture.dtype != np.uint8:
                    raise ValueError(f"{picture.dtype} {picture.shape} is not uint8 {shape}")
                if written < total:
                    checksums[written] = zlib.crc32(picture.tobytes())
                file.write(picture.tobytes())
                written += 1
                reporter.at(written)
        if written != total:
            raise ValueError(f"{written} pictures came, and the classes have {total}")

    advice = "choose an --out folder on another disk"
    write_atomically(folder / PICTURES, write_all, advice)
    write_atomically(folder / CHECKSUMS, lambda file: np.save(file, checksums), advice)
    classes: dict[str, Any] = {"names": list(count), "count": list(count.values())}
    if ink is not None:
        classes["ink"] = ink.colour
    classes |= {"crc32_sha256": _digest(checksums.tobytes())}
    classes |= {"sha256": _digest(json.dumps(classes).encode())}
    write_atomically(folder / CLASSES, json.dumps(classes, indent=1).encode() + b"\n", advice)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _require_free(folder: Path) -> None:
    """Raise `UserError` where a folder holds something of worth."""
    if folder.exists() and not (folder.is_dir() and all(map(_is_rest, folder.iterdir()))):
        raise UserError(f"{folder} exists and is not empty: choose another --out folder")


def _is_rest(path: Path) -> bool:
    """Whether it was left by a packing that was interrupted."""
    parts = tuple(f".{name}." for name in (PICTURES, CHECKSUMS, CLASSES))
    return path.name == LOCK or path.name.startswith(parts)


def load(folder: Path) -> Grouped:
    """The classes of a packed data set, over a memory-mapped array: nothing is read yet.

    Raises `UserError` for a folder that is missing or was not packed, and for files that are
    damaged or do not fit each other. Pictures are compared with their checksums when they are read.

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
    names, count, ink, checksums = _read_classes(folder / CLASSES)
    x = _open(folder / PICTURES)
    if checksums is not None:
        _require_checksums(folder / CHECKSUMS, checksums)
    if sum(count) != len(x):
        raise UserError(
            f"{folder / CLASSES} has {sum(count)} examples and {PICTURES} {len(x)}: they are not "
            "of the same packing, pack the data anew"
        )
    count = np.array(count, np.int32)
    return Grouped(x, (np.cumsum(count) - count).astype(np.int32), count, names, ink=ink)


def check(folder: Path, *, show_progress: bool = False) -> Grouped:
    """`load`, once every picture has been compared with its checksum.

    Raises `UserError` as `load` does, where a picture is damaged, and where there are no checksums.
    """
    grouped = load(folder)
    assert isinstance(grouped.x, np.memmap)
    rows = Rows.of(grouped.x)
    if not rows.checked:
        raise UserError(
            f"{folder} was packed by an earlier version, without checksums: pack the data anew to "
            "have some"
        )
    with progress("checking", rows.length, show=show_progress) as reporter:
        for start in range(0, rows.length, CHECKED_AT_ONCE):
            stop = min(start + CHECKED_AT_ONCE, rows.length)
            rows.read(np.arange(start, stop))
            reporter.at(stop)
    return grouped


def _require_checksums(path: Path, sha256: str) -> None:
    """Raise `UserError` unless the file holds the checksums that were written."""
    try:
        found = np.load(path, allow_pickle=False)
        if found.dtype != np.uint32 or _digest(found.tobytes()) != sha256:
            raise ValueError("its checksum does not match")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}): pack the data anew") from None


def _read_classes(path: Path) -> tuple[tuple[str, ...], list[int], Ink | None, str | None]:
    """Names, counts, what was ink if it is said, and the SHA-256 of the pictures' checksums if
    there are some."""
    found = read_json(path, "pack the data anew")
    try:
        names, count, ink = found["names"], found["count"], found.get("ink")
        checksums = None
        if found.keys() != {"names", "count"}:  # else it was packed by an earlier version
            sha256, checksums = found.pop("sha256"), found["crc32_sha256"]
            if sha256 != _digest(json.dumps(found).encode()):
                raise ValueError("its checksum does not match")
        if not (
            len(names) == len(count) == len(set(names)) > 0
            and all(isinstance(name, str) for name in names)
            and all(type(n) is int and n > 0 for n in count)
        ):
            raise ValueError("names are different strings, and counts whole numbers above 0")
        if ink not in ("dark", "light", None):
            raise ValueError(f"ink is dark or light, not {ink!r}")
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}): pack the data anew") from None
    return tuple(names), count, Ink(ink) if ink else None, checksums


def _open(path: Path) -> np.memmap:
    try:
        x = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(x, np.memmap):
            raise ValueError("it is an archive")
    except DAMAGE as error:
        raise UserError(f"{path} is damaged or cut off ({error}): pack the data anew") from None
    if x.dtype != np.uint8 or x.ndim != 4 or x.size == 0:
        raise UserError(
            f"{path} holds {x.dtype} {x.shape}; it must hold uint8 (N, height, width, channels)"
        )
    if not x.flags.c_contiguous:
        raise UserError(f"{path} is in Fortran's order: save numpy.ascontiguousarray(x)")
    return x
