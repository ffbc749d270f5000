"""CIFAR-10: 60,000 photographs of ten kinds of thing (Krizhevsky 2009, "Learning multiple layers of
features from tiny images"), in the binary files of its author, 170 MB.

    cifar10 = load()
    cifar10.train_x.shape                               (50000, 32, 32, 3)

A record is a byte with the label and 3 · 32 · 32 bytes with the red, green and blue planes.
"""

import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quickstudy.datasets import cache
from quickstudy.errors import UserError

NAME = "cifar-10-binary.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{NAME}"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = ("test_batch.bin",)
SIDE = 32
PER_FILE = 10_000
RECORD = 1 + 3 * SIDE * SIDE


@dataclass(frozen=True, eq=False)
class CIFAR10:
    """Images (N, 32, 32, 3) uint8; labels (N,) from 0 to 9."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def load() -> CIFAR10:
    """The photographs, downloaded on the first call on a machine and kept where `cache` says.

    Raises `UserError` if the data cannot be had, or the archive is not the author's.
    """
    path = cache.find(NAME) or cache.fetch([URL], NAME, MD5)
    return CIFAR10(*read_archive(path, TRAIN), *read_archive(path, TEST))


def read_archive(path: Path, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of some files of the archive. Raises `UserError` for anything else."""
    images, labels = [], []
    try:
        with tarfile.open(path, "r:gz") as archive:
            for name in names:
                member = archive.extractfile(f"cifar-10-batches-bin/{name}")
                assert member is not None
                x, y = read_records(member.read())
                images.append(x)
                labels.append(y)
    except (OSError, EOFError, KeyError, AssertionError, ValueError, tarfile.TarError) as error:
        raise UserError(
            f"{path} is damaged or not CIFAR-10's binary archive ({error}): take it away, and it "
            "is fetched"
        ) from error
    return np.concatenate(images), np.concatenate(labels)


def read_records(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one file. Raises `ValueError` where it has another length, or labels
    above 9."""
    if len(content) != PER_FILE * RECORD:
        raise ValueError(f"{len(content)} bytes where {PER_FILE * RECORD} should be")
    records = np.frombuffer(content, np.uint8).reshape(PER_FILE, RECORD)
    if records[:, 0].max() > 9:
        raise ValueError("a label is above 9")
    planes = records[:, 1:].reshape(PER_FILE, 3, SIDE, SIDE)
    return planes.transpose(0, 2, 3, 1), records[:, 0].astype(int)
