"""Your own arrays: an .npz file with x and y. Nothing is ever unpickled.

numpy.savez("birds.npz", x=images, y=species)
"""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quickstudy.datasets.grouped import Grouped
from quickstudy.errors import UserError


def load(path: Path) -> Grouped:
    """The arrays x (N, ...) and y (N,) of an .npz file, grouped by y.

    y holds integers from 0 or strings. Bytes (N, height, width[, channels]) are images and stay
    uint8, with a channel axis added if there is none; all other numbers become float32.

    Raises `UserError` naming the file when it is missing, damaged, holds other keys, Python
    objects, numbers that are not finite, or x and y of different lengths.

    >>> load(Path("birds.npz")).x.shape
    (1200, 64, 64, 3)
    """
    x, y = read_npz(path, ("x", "y"))
    if x.ndim < 2 or len(x) == 0:
        raise UserError(
            f"{path}: x has shape {x.shape}; it must be (N, features) or (N, height, width"
            "[, channels]), with N at least 1"
        )
    if y.ndim != 1 or len(y) != len(x):
        raise UserError(
            f"{path}: y has shape {y.shape} and x {x.shape}; y must be ({len(x)},), one label "
            "for each example"
        )
    if y.dtype.kind not in "iuU":
        raise UserError(f"{path}: y holds {y.dtype}; labels must be integers or strings")
    if y.dtype.kind == "i" and y.min() < 0:
        raise UserError(
            f"{path}: y is {y.min()} in row {int(y.argmin())}; labels are integers from 0, so "
            "leave out examples without a label"
        )
    if x.dtype.kind not in "biuf":
        raise UserError(f"{path}: x holds {x.dtype}; it must hold real numbers")
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
    return Grouped.from_labels(x, y)


# What NumPy and zipfile raise on bytes that are not, or no longer, an .npz file.
_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read_npz(path: Path, keys: Sequence[str]) -> list[np.ndarray]:
    """The arrays of these names in an .npz file; `UserError` naming the file if that fails."""
    try:
        file = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}: check its path") from None
    except _DAMAGE as error:
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
            return [file[key] for key in keys]
        except _DAMAGE as error:
            if "allow_pickle" in str(error):
                raise UserError(
                    f"{path} holds Python objects, which are never unpickled: "
                    "save arrays of numbers or strings, such as y.astype(str)"
                ) from None
            raise UserError(f"{path} is damaged ({error}): make it anew") from None
