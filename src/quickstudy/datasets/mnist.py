"""MNIST: 70,000 handwritten digits (LeCun, Bottou, Bengio and Haffner, "Gradient-based learning
applied to document recognition", Proceedings of the IEEE 1998), in the four idx files of its
authors, about 11 MB.

    mnist = load()
    mnist.train_x.shape                               (60000, 28, 28, 1)
"""

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quickstudy.datasets import cache
from quickstudy.datasets.arrays import read_npz
from quickstudy.errors import UserError

SOURCES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FILES = {  # of each array, and its md5
    "train_images": ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "train_labels": ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
    "test_images": ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
    "test_labels": ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
}
COUNTS = {"train": 60_000, "test": 10_000}
SIDE = 28


@dataclass(frozen=True, eq=False)
class MNIST:
    """Images (N, 28, 28, 1) uint8, ink 255 on 0; labels (N,) from 0 to 9."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def load() -> MNIST:
    """The digits, downloaded on the first call on a machine and kept where `cache` says.

    Raises `UserError` if the data cannot be had, naming the file that is damaged or missing.
    """
    path = cache.find("mnist.npz") or _prepare()
    arrays = read_npz(path, tuple(FILES))
    for name, array in zip(FILES, arrays, strict=True):
        part, _, kind = name.partition("_")
        shape = (COUNTS[part], SIDE, SIDE)[: 3 if kind == "images" else 1]
        if array.shape != shape or array.dtype != np.uint8:
            raise UserError(
                f"{path} is not MNIST as quickstudy prepares it ({name} is {array.dtype} "
                f"{array.shape} where uint8 {shape} should be): take it away, and it is made anew"
            )
    train_x, train_y, test_x, test_y = arrays
    return MNIST(train_x[..., None], train_y.astype(int), test_x[..., None], test_y.astype(int))


def _prepare() -> Path:
    """Fetch the four files, unless they are there, and write `mnist.npz` from them."""
    arrays = {}
    for array, (name, md5) in FILES.items():
        urls = [source + name for source in SOURCES]
        arrays[array] = read_idx(cache.fetch(urls, name, md5))
    place = cache.place("mnist.npz")
    cache.save(place, lambda file: np.savez_compressed(file, **arrays))
    return place


def read_idx(path: Path) -> np.ndarray:
    """A gzipped idx file of bytes: two zeros, the type 8, the number of axes, each axis's length
    as four bytes, largest first; then the bytes. Raises `UserError` for anything else."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}): take it away, and it is fetched") from error
    axes = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    shape = tuple(np.frombuffer(content[4 : 4 + 4 * axes], ">u4").tolist())
    if len(shape) != axes or not axes or len(content) != 4 + 4 * axes + math.prod(shape):
        raise UserError(f"{path} is not an idx file of bytes: take it away, and it is fetched")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
