import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from quickstudy.datasets import cache, mnist
from quickstudy.errors import UserError

OFFICIAL = {  # md5 of the four files, unpacked
    "train_images": "6bbc9ace898e44ae57da46a324031adb",
    "train_labels": "a25bea736e30d166cdddb491f175f624",
    "test_images": "2646ac647ad5339dbf082846283269ea",
    "test_labels": "27ae3e4e09519cfbb04c329615203637",
}


def idx(array: np.ndarray) -> bytes:
    """As the authors wrote it."""
    lengths = np.asarray(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()


@pytest.fixture
def digits(folders, server, monkeypatch) -> dict[str, np.ndarray]:
    """A few digits, served as MNIST is."""
    rng = np.random.default_rng(0)
    counts = {"train": 12, "test": 5}
    arrays, files = {}, {}
    for name, (file, _) in mnist.FILES.items():
        part, _, kind = name.partition("_")
        shape = (counts[part], 28, 28) if kind == "images" else (counts[part],)
        arrays[name] = rng.integers(0, 10, shape, np.uint8)
        server.files[file] = gzip.compress(idx(arrays[name]))
        files[name] = (file, hashlib.md5(server.files[file]).hexdigest())
    monkeypatch.setattr(mnist, "FILES", files)
    monkeypatch.setattr(mnist, "SOURCES", (server.url,))
    monkeypatch.setattr(mnist, "COUNTS", counts)
    return arrays


def test_files_to_arrays_once(digits, server):
    first = mnist.load()
    requests = len(server.ranges)
    second = mnist.load()
    assert len(server.ranges) == requests == 4
    for loaded in (first, second):
        np.testing.assert_array_equal(loaded.train_x[..., 0], digits["train_images"])
        np.testing.assert_array_equal(loaded.train_y, digits["train_labels"])
        np.testing.assert_array_equal(loaded.test_x[..., 0], digits["test_images"])
        np.testing.assert_array_equal(loaded.test_y, digits["test_labels"])


def test_a_damaged_or_foreign_file_is_named(digits, folders):
    mnist.load()
    path = folders[0] / "mnist.npz"
    with path.open("wb") as file:
        np.savez(file, **{name: np.zeros(3) for name in mnist.FILES})
    with pytest.raises(UserError, match=r"mnist\.npz is not MNIST as quickstudy prepares it"):
        mnist.load()
    path.unlink()
    name = mnist.FILES["test_labels"][0]
    (folders[0] / name).write_bytes(b"not it")
    with pytest.raises(UserError, match=rf"{name} has md5"):
        mnist.load()


@pytest.mark.parametrize(
    "content",
    [
        b"not gzip",
        gzip.compress(b""),
        gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcd"),
        gzip.compress(b"\0\0\x0d\x01\0\0\0\x04abcd"),
        gzip.compress(idx(np.arange(9, dtype=np.uint8)))[:-9],
    ],
    ids=["not gzip", "empty", "cut short", "another type", "gzip cut short"],
)
def test_what_is_not_an_idx_file_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "digits.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"digits\.gz is (damaged|not an idx file)"):
        mnist.read_idx(path)


def test_the_digits_here_are_the_official_ones():
    path = cache.find("mnist.npz")
    if path is None:
        pytest.skip("no mnist.npz in $QUICKSTUDY_DATA or the user's cache")
    loaded = mnist.load()
    arrays = (loaded.train_x, loaded.train_y, loaded.test_x, loaded.test_y)
    for array, md5 in zip(arrays, OFFICIAL.values(), strict=True):
        array = np.asarray(array, np.uint8)
        assert hashlib.md5(idx(array.reshape(array.shape[:3]))).hexdigest() == md5
