"""Arrays on disk: one file for a pytree, checked when read, never unpickled.

A file is an npz archive: a JSON header (as bytes), the header's SHA-256, and the tree's array
leaves in order. The header holds the writer's values, the shapes and types of the leaves, and the
SHA-256 of their bytes. Files of earlier versions have no SHA-256 of the header."""

import hashlib
import io
import json
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import equinox as eqx
import jax
import numpy as np

from quickstudy.errors import UserError
from quickstudy.files import write_atomically

FORMAT = 1

Tree = TypeVar("Tree")

NO_SENSE = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What reading an altered header raises."""


class DamagedFile(UserError):
    """A file that is truncated, altered, or not written by quickstudy."""


def describe(leaves: list[Any]) -> list[list[Any]]:
    """Shape and type of each leaf, as JSON has them."""
    return [[list(leaf.shape), str(leaf.dtype)] for leaf in leaves]


def digest(leaves: list[np.ndarray]) -> str:
    """SHA-256 of the leaves' bytes."""
    sha = hashlib.sha256()
    for leaf in leaves:
        sha.update(np.ascontiguousarray(leaf).tobytes())
    return sha.hexdigest()


def save(path: Path, tree: Any, header: dict[str, Any]) -> None:
    """Write the array leaves of `tree` and a JSON header to `path`, atomically.

    Raises `UserError` on a full disk or where the folder cannot be written to.
    """
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]
    full = {
        **header,
        "format": FORMAT,
        "leaves": describe(leaves),
        "sha256": digest(leaves),
    }
    content, words = io.BytesIO(), np.frombuffer(json.dumps(full).encode(), np.uint8)
    arrays: dict[str, Any] = {f"{i:05d}": leaf for i, leaf in enumerate(leaves)}
    np.savez(content, header=words, header_sha256=np.asarray(digest([words])), **arrays)
    write_atomically(path, content.getvalue())


def read_header(path: Path) -> dict[str, Any]:
    """Read only the header. Raises `UserError` where there is no file, `DamagedFile` where
    quickstudy did not write it."""
    return _read(path, with_leaves=False)[0]


def read(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Read the header and the leaves in order. Raises `UserError` where there is no file,
    `DamagedFile` where its content is not exactly as written."""
    return _read(path, with_leaves=True)


def load(path: Path, like: Tree) -> tuple[Tree, dict[str, Any]]:
    """Read leaves into the structure of `like` (arrays, or shapes of them), and the header.

    Raises as `read` and `fitted` do.
    """
    header, leaves = read(path)
    return fitted(path, header, leaves, like), header


def fitted(path: Path, header: dict[str, Any], leaves: list[np.ndarray], like: Tree) -> Tree:
    """Put leaves that were `read` into the structure of `like` (arrays, or shapes of them).

    Raises `DamagedFile` where they have other shapes.
    """
    wanted, rest = eqx.partition(like, lambda x: eqx.is_array(x) or _is_shape(x))
    flat, structure = jax.tree.flatten(wanted)
    if describe(flat) != header["leaves"]:
        raise DamagedFile(f"{path} holds other parameters than its configuration describes")
    loaded = [_as(leaf, wanted) for leaf, wanted in zip(leaves, flat, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, loaded), rest)


def _as(leaf: np.ndarray, wanted: Any) -> Any:
    """NumPy's arrays stay NumPy's: JAX's would lose 64 bits. npz files know no bfloat16. Arrays are
    put on the device without a program, which `asarray` would compile for each shape."""
    leaf = leaf.view(wanted.dtype)
    return leaf if isinstance(wanted, np.ndarray | np.generic) else jax.device_put(leaf)


def _is_shape(x: Any) -> bool:
    return isinstance(x, jax.ShapeDtypeStruct)


def _read(path: Path, *, with_leaves: bool) -> tuple[dict[str, Any], list[np.ndarray]]:
    try:
        with open(path, "rb") as file, np.load(_whole(file), allow_pickle=False) as archive:
            words = archive["header"]
            if "header_sha256" in archive and str(archive["header_sha256"]) != digest([words]):
                raise DamagedFile(f"{path} is damaged: its header's checksum does not match")
            header = json.loads(words.tobytes())
            if header["format"] != FORMAT:
                raise UserError(
                    f"{path} has format {header['format']}, this program reads {FORMAT}: "
                    "use the version of quickstudy that wrote it"
                )
            if not with_leaves:
                return header, []
            leaves = [archive[f"{i:05d}"] for i in range(len(header["leaves"]))]
            shapes = [list(leaf.shape) for leaf in leaves]
            if digest(leaves) != header["sha256"] or shapes != [x for x, _ in header["leaves"]]:
                raise DamagedFile(f"{path} is damaged: its checksum does not match")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(f"there is no file {path}") from error
    except UserError:
        raise
    except Exception as error:  # what NumPy and zipfile raise on other bytes has many names
        raise DamagedFile(f"{path} is damaged or not a quickstudy file") from error
    return header, leaves


END = struct.Struct("<4s8xIIH")
"""The last record of a zip archive: signature, size and place of the directory, and the length of
a comment (PKWARE's APPNOTE, 4.3.16)."""

TOO_LARGE = 2**32 - 1
"""What it has for a place that does not fit in 32 bits."""


def _whole(file: BinaryIO) -> BinaryIO:
    """An open archive that is all of its file: readers of zip archives pass over what stands before
    or behind one. Raises `ValueError` otherwise."""
    size = file.seek(0, os.SEEK_END)
    file.seek(-END.size, os.SEEK_END)
    signature, length, place, comment = END.unpack(file.read())
    if signature != b"PK\5\6" or comment:
        raise ValueError("there are bytes behind the archive")
    if place != TOO_LARGE and place + length + END.size != size:
        raise ValueError("there are bytes before the archive")
    file.seek(0)
    return file
