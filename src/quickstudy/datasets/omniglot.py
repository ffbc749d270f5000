"""Omniglot: 1623 handwritten characters from 50 alphabets, each drawn once by 20 people.

Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through probabilistic program
induction", Science 350 (2015). MIT licence. Fetched from the authors' repository, about 18 MB,
and kept at one bit a pixel, about 5 MB.

    omniglot = load()
    omniglot.grouped.x.shape                          (32460, 28, 28, 1)
    omniglot.split("vinyals")["test"].classes         423
"""

import contextlib
import io
import random
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from quickstudy.datasets import cache
from quickstudy.datasets.arrays import read_npz
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.images import resized
from quickstudy.datasets.kept import SPLITS
from quickstudy.errors import UserError, nearest
from quickstudy.progress import progress

SOURCES = (
    "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/",
    "https://github.com/brendenlake/omniglot/raw/master/python/",
)
BACKGROUND = ("images_background.zip", "68d2efa1b9178cc56df9314c21c6e718")  # and its md5
EVALUATION = ("images_evaluation.zip", "6b91aef0f799c5bb55b94e3f2daec811")
RUNS = ("all_runs.zip", "e8996daecdf12afeeb4a53a179f06b19")  # under one-shot-classification/
RUN = 20  # runs; characters of a run
CHARACTERS = 1623
DRAWINGS = 20
SIDE = 105  # pixels of a drawing in the archives


@dataclass(frozen=True, eq=False)
class Omniglot:
    """All drawings, and the splits of the literature."""

    grouped: Grouped
    """x (32460, size, size, 1) uint8, ink 255 on 0; names "Alphabet/character01"; drawing d of
    class c is x[20 c + d]. Classes are in the order of the archives, background first."""

    background: np.ndarray
    """(1623,) bool: whether the class is of the 30 background alphabets, not the 20 others."""

    def split(self, name: str) -> dict[str, Grouped]:
        """Class-disjoint "train", "validation" and "test". Raises `UserError` for other names.

        | name | characters | what it is |
        |---|---|---|
        | vinyals | 1028/172/423 | Vinyals et al. (2016), as the prototypical-networks code ships
          it; one alphabet, Gurmukhi, has characters on both sides |
        | lake | 813/151/659 | by alphabet, Lake's: 25 background alphabets to train, the last 5
          by name to validate, the 20 evaluation alphabets to test |
        | koch | 964/277/382 | Koch et al. (2015): tested on the 10 alphabets of Lake's runs, each
          drawn by the 4 people of those runs; see `_koch` |
        | maml | 1100/100/423 | Finn et al. (2017): all characters shuffled with seed 1. Their
          code shuffles a list in the order of the file system it ran on; this one shuffles the
          sorted names: the same procedure and sizes, not the same members |
        """
        if name not in _SPLITS:
            raise UserError(f"Omniglot has no split {name!r}; {nearest(name, list(_SPLITS))}")
        part = _SPLITS[name](self.grouped.names, self.background)
        grouped = _of_koch_drawers(self.grouped, part) if name == "koch" else self.grouped
        return {split: grouped.select(np.flatnonzero(part == i)) for i, split in enumerate(SPLITS)}


@dataclass(frozen=True, eq=False)
class LakeRuns:
    """Lake's 20 one-shot runs: of 20 characters of one alphabet, a drawing of each by one person
    to learn from, and a drawing of each by another to classify. Drawings are named by their row in
    `Omniglot.grouped.x`."""

    train: np.ndarray
    """(20, 20): of each run."""

    test: np.ndarray
    """(20, 20): in another order …"""

    label: np.ndarray
    """(20, 20): … and the place in `train` of the drawing of the same character."""


def load(size: int = 28) -> Omniglot:
    """Omniglot at `size` × `size` pixels: 105 as drawn, others resampled with antialiasing.

    The published code shrinks to 28 with nearest neighbour, knowingly or not (Pillow resizes
    one-bit files so whatever filter it is asked for), which breaks strokes; ours are grey.

    The first call on a machine downloads and prepares the archives, and the first call with a
    size resamples (seconds); both are kept where `cache` says. Raises `UserError` if the data
    cannot be had, naming the file that is damaged or missing.
    """
    if size < 1:
        raise UserError(f"Omniglot images of size {size} cannot be: size is at least 1, as in 28")
    resampled = cache.find(f"omniglot-{size}.npz")
    if resampled is not None:
        path = resampled
        x, names, background = read_npz(path, ("x", "names", "background"))
    else:
        path = cache.find("omniglot.npz") or _prepare()
        bits, names, background = read_npz(path, ("bits", "names", "background"))
        _check(path, bits, (CHARACTERS, DRAWINGS, -(-SIDE * SIDE // 8)), np.uint8)
        x = _draw(bits, size)
    _check(path, x, (CHARACTERS * DRAWINGS, size, size, 1), np.uint8)
    _check(path, background, (CHARACTERS,), np.bool_)
    _check(path, names, (CHARACTERS,), np.str_)
    if resampled is None and size != SIDE:
        with contextlib.suppress(UserError):  # nowhere to keep it: the next call is as slow
            cache.save(
                cache.place(f"omniglot-{size}.npz"),
                lambda file: np.savez(file, x=x, names=names, background=background),
            )
    first = np.arange(0, CHARACTERS * DRAWINGS, DRAWINGS, dtype=np.int32)
    count = np.full(CHARACTERS, DRAWINGS, np.int32)
    return Omniglot(Grouped(x, first, count, tuple(names.tolist())), background)


def lake_runs() -> LakeRuns:
    """Lake's runs, fetched (350 kB) and kept as the drawings are.

    Raises `UserError` as `load` does.
    """
    arrays = ("lake_train", "lake_test", "lake_label")
    whole, path = cache.find("omniglot.npz"), cache.find("lake-runs.npz")
    if path is None and whole is not None:
        with contextlib.suppress(UserError):  # it was prepared without the runs
            return LakeRuns(*read_npz(whole, arrays))
    path = path or _prepare_runs()
    found = read_npz(path, arrays)
    for array in found:
        _check(path, array, (RUN, RUN), np.integer)
    return LakeRuns(*found)


def bits_of(part: str, split: str = "vinyals") -> tuple[np.ndarray, np.ndarray]:
    """The names (n,) of the characters of a part of a split, and their drawings as they are kept,
    (n, 20, bytes): see `drawings`. Raises `UserError` as `load` does."""
    path = cache.find("omniglot.npz") or _prepare()
    bits, names, background = read_npz(path, ("bits", "names", "background"))
    _check(path, bits, (CHARACTERS, DRAWINGS, -(-SIDE * SIDE // 8)), np.uint8)
    chosen = _SPLITS[split](tuple(names.tolist()), background) == SPLITS.index(part)
    return names[chosen], bits[chosen]


def drawings(bits: np.ndarray) -> np.ndarray:
    """One bit a pixel (n, bytes) -> uint8 (n, 105, 105), ink 255."""
    return 255 * np.unpackbits(bits, axis=1, count=SIDE * SIDE).reshape(-1, SIDE, SIDE)


def _check(path: Path, array: np.ndarray, shape: tuple[int, ...], kind: type) -> None:
    if array.shape != shape or not np.issubdtype(array.dtype, kind):
        raise UserError(
            f"{path} is not Omniglot as quickstudy prepares it ({array.dtype} {array.shape} where "
            f"{kind.__name__} {shape} should be): take it away, and it is made anew"
        )


def _draw(bits: np.ndarray, size: int) -> np.ndarray:
    """One bit a pixel (characters, drawings, bytes) -> uint8 (N, size, size, 1), ink 255."""
    x = np.empty((len(bits) * DRAWINGS, size, size, 1), np.uint8)
    for c, character in enumerate(bits):
        x[c * DRAWINGS : (c + 1) * DRAWINGS] = resized(drawings(character)[..., None], size)
    return x


def _prepare() -> Path:
    """Fetch both archives, unless they are there, and write `omniglot.npz` from them:
    bits (1623, 20, 1379) uint8, one bit a pixel, 1 is ink; names (1623,), sorted within each
    archive; background (1623,) bool."""
    background, evaluation = (_read(*archive) for archive in (BACKGROUND, EVALUATION))
    characters = background | evaluation
    path = cache.place("omniglot.npz")
    cache.save(
        path,
        lambda file: np.savez_compressed(
            file,
            bits=np.stack(list(characters.values())),
            names=np.array(list(characters)),
            background=np.array([name in background for name in characters]),
        ),
    )
    return path


def _prepare_runs() -> Path:
    """Fetch the archive of Lake's runs, unless it is there, and write `lake-runs.npz`: which of
    our drawings its images are, pixel by pixel.

    Run r has run<r>/training/class<k>.png, run<r>/test/item<i>.png, and in class_labels.txt
    a line for each item: its path, and that of the training image of its class.
    """
    name, md5 = RUNS
    path = cache.fetch([f"{source}one-shot-classification/{name}" for source in SOURCES], name, md5)
    (bits,) = read_npz(cache.find("omniglot.npz") or _prepare(), ("bits",))
    row_of = {drawing.tobytes(): row for row, drawing in enumerate(bits.reshape(-1, bits.shape[2]))}
    train, test, label = (np.empty((RUN, RUN), np.int32) for _ in range(3))
    with zipfile.ZipFile(path) as archive:

        def row(member: str) -> int:
            return row_of[_ink(archive.read(member)).tobytes()]

        for run in range(RUN):
            text = archive.read(f"run{run + 1:02}/class_labels.txt").decode()
            pairs = sorted(line.split() for line in text.splitlines())
            classes = sorted(example for _, example in pairs)
            train[run] = [row(example) for example in classes]
            test[run] = [row(item) for item, _ in pairs]
            label[run] = [classes.index(example) for _, example in pairs]
    prepared = cache.place("lake-runs.npz")
    cache.save(
        prepared,
        lambda file: np.savez(file, lake_train=train, lake_test=test, lake_label=label),
    )
    return prepared


def _ink(png: bytes) -> np.ndarray:
    """A drawing as in the archives, black on white, at one bit a pixel (1379,)."""
    with Image.open(io.BytesIO(png)) as image:
        return np.packbits(np.asarray(image.convert("L")) < 128)


def _read(name: str, md5: str) -> dict[str, np.ndarray]:
    """The drawings of each character in an archive, at one bit a pixel (20, 1379)."""
    urls = [source + name for source in SOURCES]
    path = cache.fetch(urls, name, md5)
    drawings = defaultdict(list)
    with zipfile.ZipFile(path) as archive:
        members = sorted(member for member in archive.namelist() if member.endswith(".png"))
        with progress(f"reading {name}", len(members)) as reporter:
            for done, member in enumerate(members, 1):
                _, alphabet, character, _ = member.split("/")
                drawings[f"{alphabet}/{character}"].append(_ink(archive.read(member)))
                reporter.at(done)
    return {name: np.stack(bits) for name, bits in drawings.items()}


def _vinyals(names: tuple[str, ...], background: np.ndarray) -> np.ndarray:
    text = resources.files("quickstudy.datasets").joinpath("vinyals.txt").read_text("utf-8")
    digits = "".join(text.splitlines()[1:])
    home = dict(zip(sorted(names), digits, strict=True))
    return np.array([int(home[name]) for name in names])


def _lake(names: tuple[str, ...], background: np.ndarray) -> np.ndarray:
    alphabets = np.array([name.split("/")[0] for name in names])
    validation = sorted(set(alphabets[background]))[-5:]
    return np.where(background, np.isin(alphabets, validation), 2)


def _koch(names: tuple[str, ...], background: np.ndarray) -> np.ndarray:
    """Tested on the 10 alphabets of Lake's runs, as the paper says. It takes 30 of the 40 others to
    train and 10 to validate, and does not say which: here the 30 are the background alphabets."""
    alphabets = np.array([name.split("/")[0] for name in names])
    tested = alphabets[lake_runs().test.ravel() // DRAWINGS]
    return np.where(background, 0, np.where(np.isin(alphabets, tested), 2, 1))


def _of_koch_drawers(grouped: Grouped, part: np.ndarray) -> Grouped:
    """Drawing d of a character is by person d of its alphabet. To train there are 12 people, to
    validate 4 others, and to test the 4 of Lake's runs of that alphabet. The paper does not say who
    the 12 and the 4 are: here they are the last 12 of the 20, and the 4 before."""
    person = np.arange(DRAWINGS)
    kept = np.where((part == 0)[:, None], person >= 8, (person >= 4) & (person < 8))
    alphabets = np.array([name.split("/")[0] for name in grouped.names])
    runs = lake_runs()
    rows = np.concatenate([runs.train, runs.test], axis=1)
    for alphabet in np.unique(alphabets[part == 2]):
        drawn = rows[alphabets[rows[:, 0] // DRAWINGS] == alphabet]
        kept[alphabets == alphabet] = np.isin(person, drawn % DRAWINGS)
    count = kept.sum(axis=1, dtype=np.int32)
    first = (np.cumsum(count) - count).astype(np.int32)
    return Grouped(grouped.x[kept.ravel()], first, count, grouped.names)


def _maml(names: tuple[str, ...], background: np.ndarray) -> np.ndarray:
    order = sorted(range(len(names)), key=names.__getitem__)
    random.Random(1).shuffle(order)
    part = np.full(len(names), 2)
    part[order[:1100]] = 0
    part[order[1100:1200]] = 1
    return part


_SPLITS = {"vinyals": _vinyals, "lake": _lake, "koch": _koch, "maml": _maml}
