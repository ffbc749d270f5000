"""Your own arrays: an .npz file with x and y. Nothing is ever unpickled.

numpy.savez("birds.npz", x=images, y=species)
"""

import dataclasses
import math
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.datasets.embedding_file import EmbeddingFile
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.labels import class_names, first_missing
from quickstudy.errors import UserError
from quickstudy.files import write_atomically

CHANNELS = (1, 3, 4)
"""How many a picture has: grey, colours, colours with transparency."""


def load(path: Path) -> Grouped:
    """The arrays x (N, ...) and y (N,) of an .npz file, grouped by y.

    y holds integers from 0 or strings, which are brought to one spelling (`labels.normalised`).
    Bytes (N, height, width[, channels]) are images and stay
    uint8, with a channel axis added if there is none; all other numbers become float32.

    Raises `UserError` naming the file when it is missing, damaged, holds other keys, Python
    objects, numbers that are not finite, or x and y of different lengths.

    >>> load(Path("birds.npz")).x.shape
    (1200, 64, 64, 3)
    """
    x, y = read_npz(path, ("x", "y"))
    if x.ndim < 2 or x.size == 0:
        raise UserError(
            f"{path}: x has shape {x.shape}; it must be (N, features) or (N, height, width"
            "[, channels]), with no length 0"
        )
    if x.ndim == 4 and x.shape[1] in CHANNELS and x.shape[3] not in CHANNELS:
        raise UserError(
            f"{path}: x has shape {x.shape}, so channels come first; they must come last, "
            "(N, height, width, channels): save numpy.moveaxis(x, 1, -1)"
        )
    if y.ndim != 1 or len(y) != len(x):
        raise UserError(
            f"{path}: y has shape {y.shape} and x {x.shape}; y must be ({len(x)},), one label "
            "for each example"
        )
    if y.dtype.kind not in "iuU":
        missing = first_missing(y)
        row = "" if missing is None else f", and row {missing} is {y[missing]}"
        raise UserError(
            f"{path}: y holds {y.dtype}{row}; labels must be integers or strings: y.astype(int) "
            "once none is missing"
        )
    if y.dtype.kind == "i" and y.min() < 0:
        raise UserError(
            f"{path}: y is {y.min()} in row {int(y.argmin())}; labels are integers from 0, so "
            "leave out examples without a label"
        )
    if x.dtype.kind not in "biuf":
        raise UserError(f"{path}: x holds {x.dtype}; it must hold real numbers")
    if y.dtype.kind == "U":
        y = np.asarray(class_names(f"{path}, y", y.tolist(), range(len(y))))
    if x.dtype == np.uint8 and x.ndim > 2:
        return Grouped.from_labels(x[..., None] if x.ndim == 3 else x, y)
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not finite.all():
        raise UserError(
            f"{path}: x has {np.sum(~finite)} rows with a value that is NaN or not finite in "
            f"float32, the first is row {int(finite.argmin())}: fill it in or leave it out"
        )
    return replace(Grouped.from_labels(x, y), embedding=embedding_of(path))


def save(path: Path, examples: Grouped) -> None:
    """Write examples as `load` reads them, with the model that features come from. Raises
    `UserError` where something is there already, or it cannot be written.

    >>> save(Path("features.npz"), features)
    """
    require_free(path)
    content = {"x": examples.x, "y": np.repeat(examples.names, examples.count)}
    if examples.embedding is not None:
        content["embedding"] = np.array(dataclasses.astuple(examples.embedding))
    write_atomically(path, lambda file: np.savez(file, **content), "choose another --out")


def require_free(path: Path) -> None:
    """Raise `UserError` where something is at `path`: to be asked before the work."""
    if path.exists():
        raise UserError(f"{path} exists: choose another --out")


def embedding_of(path: Path) -> EmbeddingFile | None:
    """The model that the x of an .npz file come from, where the file says it. Raises `UserError`
    where that is damaged."""
    (found,) = read_npz(path, (), ("embedding",))
    if found is None:
        return None
    if found.dtype.kind != "U" or found.shape != (len(dataclasses.fields(EmbeddingFile)),):
        raise UserError(f"{path} does not say which model its features come from: make it anew")
    return EmbeddingFile(*found.tolist())


DAMAGE = (
    *(OSError, EOFError, ValueError, RuntimeError, MemoryError, OverflowError),
    *(SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""What NumPy and zipfile raise on bytes that are not, or no longer, an .npz file."""


def read_npz(path: Path, keys: Sequence[str], optional: Sequence[str] = ()) -> list[Any]:
    """The arrays of these names in an .npz file, and those of `optional` names, None where there
    are none; `UserError` naming the file if that fails."""
    try:
        file = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}: check its path") from None
    except DAMAGE as error:
        raise UserError(f"{path} is damaged or not an .npz file ({error}): make it anew") from None
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise UserError(f"{path} holds a single array: save {', '.join(keys)} with numpy.savez")
    with file:
        missing = [key for key in keys if key not in file.files]
        if missing:
            raise UserError(
                f"{path} has no array {' or '.join(missing)}; it has {', '.join(file.files)}: "
                f"it must hold {', '.join(keys)}"
            )
        try:
            there = {key for key in (*keys, *optional) if key in file.files}
            for key in there:
                _require_whole(file, key)
            return [file[key] if key in there else None for key in (*keys, *optional)]
        except MemoryError as error:
            raise UserError(
                f"{path} is larger than the memory ({error}): pack pictures (docs/data.md), or "
                "leave out examples"
            ) from None
        except DAMAGE as error:
            if "allow_pickle" in str(error):
                raise UserError(
                    f"{path} holds Python objects, which are never unpickled: "
                    "save arrays of numbers or strings without None, such as y.astype(str)"
                ) from None
            raise UserError(f"{path} is damaged ({error}): make it anew") from None


def _require_whole(file: np.lib.npyio.NpzFile, key: str) -> None:
    """Raise `ValueError` unless a member has the bytes that its header declares: before an array
    of such a size is made."""
    assert file.zip is not None
    name = key if key in file.zip.namelist() else f"{key}.npy"
    with file.zip.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        declared = math.prod(shape) * dtype.itemsize
        there = file.zip.getinfo(name).file_size - member.tell()
    if declared != there and not dtype.hasobject:
        raise ValueError(f"{key} declares {declared} bytes, and {there} are there")
