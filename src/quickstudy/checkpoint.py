"""Arrays on disk: one file for a pytree, checked when read, never unpickled.

A file is an npz archive: a JSON header (as bytes) and the tree's array leaves in order. The
header holds whatever the writer says, the leaves' names, shapes and types, and their SHA-256.
"""

import contextlib
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

from quickstudy.errors import UserError

FORMAT = 1

Tree = TypeVar("Tree")


class DamagedFile(UserError):
    """A file that is truncated, altered, or not one of ours."""


def describe(leaves: list[Any]) -> list[list[Any]]:
    """Shape and type of each leaf, as JSON has them."""
    return [[list(leaf.shape), str(leaf.dtype)] for leaf in leaves]


def digest(leaves: list[np.ndarray]) -> str:
    """SHA-256 of the leaves' bytes."""
    sha = hashlib.sha256()
    for leaf in leaves:
        sha.update(np.ascontiguousarray(leaf).tobytes())
    return sha.hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside, flush to the disk, rename: a reader sees the old file or the new one.

    Raises `UserError` where the folder cannot be written to; what was there stays.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another "
            "folder (what was there is untouched)"
        ) from error


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
    content = io.BytesIO()
    arrays: dict[str, Any] = {f"{i:05d}": leaf for i, leaf in enumerate(leaves)}
    np.savez(content, header=np.frombuffer(json.dumps(full).encode(), np.uint8), **arrays)
    write_atomically(path, content.getvalue())


def read_header(path: Path) -> dict[str, Any]:
    """The header alone. Raises `UserError` where there is no file, `DamagedFile` where it is
    not one of ours."""
    return _read(path, with_leaves=False)[0]


def load(path: Path, like: Tree) -> tuple[Tree, dict[str, Any]]:
    """Read leaves into the structure of `like` (arrays, or shapes of them), and the header.

    Raises `UserError` where there is no file, `DamagedFile` where it does not hold exactly
    what was written, or holds leaves of other shapes.
    """
    header, leaves = _read(path, with_leaves=True)
    wanted, rest = eqx.partition(like, lambda x: eqx.is_array(x) or _is_shape(x))
    flat, structure = jax.tree.flatten(wanted)
    if describe(flat) != header["leaves"]:
        raise DamagedFile(f"{path} holds other parameters than its configuration describes")
    loaded = [_as(leaf, wanted) for leaf, wanted in zip(leaves, flat, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, loaded), rest), header


def _as(leaf: np.ndarray, wanted: Any) -> Any:
    """NumPy's arrays stay NumPy's: JAX's would lose 64 bits. npz files know no bfloat16."""
    leaf = leaf.view(wanted.dtype)
    return leaf if isinstance(wanted, np.ndarray | np.generic) else jax.numpy.asarray(leaf)


def _is_shape(x: Any) -> bool:
    return isinstance(x, jax.ShapeDtypeStruct)


def _read(path: Path, *, with_leaves: bool) -> tuple[dict[str, Any], list[np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            header = json.loads(archive["header"].tobytes())
            if header["format"] != FORMAT:
                raise UserError(
                    f"{path} has format {header['format']}, this program reads {FORMAT}: "
                    "use the version of quickstudy that wrote it"
                )
            if not with_leaves:
                return header, []
            leaves = [archive[f"{i:05d}"] for i in range(len(header["leaves"]))]
            if digest(leaves) != header["sha256"]:
                raise DamagedFile(f"{path} is damaged: its checksum does not match")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(f"there is no file {path}") from error
    except UserError:
        raise
    except Exception as error:  # what NumPy and zipfile raise on other bytes has many names
        raise DamagedFile(f"{path} is damaged or not a quickstudy file") from error
    return header, leaves
