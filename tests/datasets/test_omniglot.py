import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import KDTree

from quickstudy.datasets import cache, omniglot
from quickstudy.datasets.images import ImageFormat, read_image
from quickstudy.errors import UserError

ALPHABETS = {"images_background.zip": "GABFEDC", "images_evaluation.zip": "ZY"}


def png(ink: np.ndarray) -> bytes:
    """As in the archives: one bit a pixel, black ink on white."""
    file = io.BytesIO()
    Image.fromarray(~ink).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def drawings(folders, server, monkeypatch) -> dict[str, np.ndarray]:
    """Nine characters served as Omniglot is: name -> ink (20, 105, 105) bool."""
    rng = np.random.default_rng(0)
    drawings = {}
    for archive, alphabets in ALPHABETS.items():
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as zipped:
            zipped.writestr(f"{archive[:-4]}/", "")
            for alphabet in alphabets:
                ink = rng.random((20, 15, 15)) < 0.1
                ink = ink.repeat(7, axis=1).repeat(7, axis=2)
                drawings[f"{alphabet}/character01"] = ink
                for d in reversed(range(20)):
                    name = f"{archive[:-4]}/{alphabet}/character01/0001_{d + 1:02}.png"
                    zipped.writestr(name, png(ink[d]))
        server.files[archive] = file.getvalue()
    for which in ("BACKGROUND", "EVALUATION"):
        name = f"images_{which.lower()}.zip"
        md5 = hashlib.md5(server.files[name]).hexdigest()
        monkeypatch.setattr(omniglot, which, (name, md5))
    monkeypatch.setattr(omniglot, "SOURCES", (server.url,))
    monkeypatch.setattr(omniglot, "CHARACTERS", 9)
    return drawings


def test_archives_to_arrays(drawings, folders):
    loaded = omniglot.load(105)
    grouped = loaded.grouped
    assert grouped.names == tuple(f"{a}/character01" for a in "ABCDEFGYZ")
    assert loaded.background.tolist() == [True] * 7 + [False] * 2
    assert grouped.x.dtype == np.uint8
    for c, name in enumerate(grouped.names):
        start = grouped.first[c]
        np.testing.assert_array_equal(
            grouped.x[start : start + grouped.count[c], :, :, 0], 255 * drawings[name]
        )
    with np.load(folders[0] / "omniglot.npz") as file:
        assert file["bits"].shape == (9, 20, 1379)
        unpacked = np.unpackbits(file["bits"], axis=2, count=105 * 105).reshape(9, 20, 105, 105)
        np.testing.assert_array_equal(unpacked[0], drawings["A/character01"])


def test_the_network_is_needed_once_and_resampling_too(drawings, server, monkeypatch):
    first = omniglot.load(14)
    requests = len(server.ranges)
    monkeypatch.setattr(omniglot, "_draw", None)
    second = omniglot.load(14)
    assert len(server.ranges) == requests == 2
    np.testing.assert_array_equal(first.grouped.x, second.grouped.x)
    assert first.grouped.x.shape == (180, 14, 14, 1)
    assert first.grouped.names == second.grouped.names


def test_read_image_renders_a_drawing_the_same_way(drawings, tmp_path: Path):
    grouped = omniglot.load(28).grouped
    path = tmp_path / "drawing.png"
    path.write_bytes(png(drawings["A/character01"][3]))
    np.testing.assert_array_equal(read_image(path, ImageFormat(28, 1, "dark")), grouped.x[3])


def test_lake_split_by_alphabet(drawings):
    parts = omniglot.load(8).split("lake")
    alphabets = {part: "".join(n[0] for n in parts[part].names) for part in parts}
    assert alphabets == {"train": "AB", "validation": "CDEFG", "test": "YZ"}


def test_lakes_runs_are_read_from_their_archive(drawings, folders, server, monkeypatch):
    """Two runs of two characters: the drawings by one person, and those by another, shuffled."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for run, (a, b), first, second in ((1, "YZ", 3, 8), (2, "CA", 19, 0)):
            for name, character, drawing in (
                *(("training/class01", a, first), ("training/class02", b, first)),
                *(("test/item01", b, second), ("test/item02", a, second)),
            ):
                ink = drawings[f"{character}/character01"][drawing]
                zipped.writestr(f"run{run:02}/{name}.png", png(ink))
            labels = "".join(
                f"run{run:02}/test/item{i:02}.png run{run:02}/training/class{k:02}.png\n"
                for i, k in ((2, 1), (1, 2))
            )
            zipped.writestr(f"run{run:02}/class_labels.txt", labels)
    archive = file.getvalue()
    server.files["one-shot-classification/all_runs.zip"] = archive
    monkeypatch.setattr(omniglot, "RUNS", ("all_runs.zip", hashlib.md5(archive).hexdigest()))
    monkeypatch.setattr(omniglot, "RUN", 2)
    for _ in range(2):  # fetched, and found again
        runs = omniglot.lake_runs()
        names = omniglot.load(8).grouped.names
        rows = [[20 * names.index(f"{c}/character01") + d for c in cs] for cs, d in
                (("YZ", 3), ("CA", 19), ("ZY", 8), ("AC", 0))]  # fmt: skip
        np.testing.assert_array_equal(runs.train, rows[:2])
        np.testing.assert_array_equal(runs.test, rows[2:])
        np.testing.assert_array_equal(runs.label, [[1, 0], [1, 0]])
    assert len(server.ranges) == 3


def test_unknown_split(drawings):
    with pytest.raises(UserError, match=r"no split 'vinyal'; did you mean vinyals\?"):
        omniglot.load(8).split("vinyal")


def test_archives_put_there_by_hand(drawings, folders, server):
    data, user = folders
    data.mkdir()
    for name in ALPHABETS:
        (data / name).write_bytes(server.files[name])
    data.chmod(0o555)
    assert omniglot.load(8).grouped.classes == 9
    assert server.ranges == []
    assert {path.name for path in user.iterdir()} == {"omniglot.npz", "omniglot-8.npz"}


def test_a_damaged_archive_put_there_by_hand(drawings, folders, server):
    data, _ = folders
    data.mkdir()
    (data / "images_background.zip").write_bytes(server.files["images_background.zip"][:-1])
    with pytest.raises(UserError, match=r"images_background\.zip has md5"):
        omniglot.load(8)


def test_no_place_to_keep_the_resampled_drawings(drawings, folders):
    data, user = folders
    omniglot.load(105)
    data.chmod(0o555)
    user.write_text("a file where a folder should be")
    assert omniglot.load(8).grouped.x.shape == (180, 8, 8, 1)


@pytest.mark.parametrize("name", ["omniglot.npz", "omniglot-8.npz"])
def test_a_damaged_or_foreign_file_is_named(drawings, folders, name: str):
    omniglot.load(8)
    path = folders[0] / name
    if name == "omniglot.npz":
        (folders[0] / "omniglot-8.npz").unlink()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=rf"{name} is damaged"):
        omniglot.load(8)
    with path.open("wb") as file:
        np.savez(file, x=np.zeros(3))
    with pytest.raises(UserError, match=rf"{name} has no array"):
        omniglot.load(8)
    with path.open("wb") as file:
        few = np.zeros((2, 20, 1379), np.uint8)
        np.savez(file, bits=few, x=few, names=np.array(["a", "b"]), background=few[:, 0, 0])
    with pytest.raises(UserError, match=rf"{name} is not Omniglot as quickstudy prepares it"):
        omniglot.load(8)


def test_datasets_do_not_import_jax():
    modules = ", ".join(f"quickstudy.datasets.{m}" for m in ("omniglot", "folder", "table"))
    code = f"import sys, {modules}; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def real() -> omniglot.Omniglot:
    if cache.find("omniglot.npz") is None:
        pytest.skip("no omniglot.npz in $QUICKSTUDY_DATA or the user's cache")
    return omniglot.load(28)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("vinyals", [1028, 172, 423]), ("lake", [813, 151, 659]), ("maml", [1100, 100, 423])],
)
def test_splits_of_the_literature(real: omniglot.Omniglot, name: str, sizes: list[int]):
    parts = real.split(name)
    assert [part.classes for part in parts.values()] == sizes
    assert len({n for part in parts.values() for n in part.names}) == 1623
    assert all((part.count == 20).all() for part in parts.values())


@pytest.fixture(scope="module")
def runs(real: omniglot.Omniglot) -> omniglot.LakeRuns:
    path = cache.find("omniglot.npz")
    assert path is not None
    with np.load(path) as file:
        if "lake_train" not in file.files and cache.find("lake-runs.npz") is None:
            pytest.skip("Lake's runs are neither in $QUICKSTUDY_DATA nor in the user's cache")
    return omniglot.lake_runs()


def test_the_split_of_koch_is_lakes_alphabets_and_people(real: omniglot.Omniglot, runs):
    parts = real.split("koch")
    alphabets = {p: {name.split("/")[0] for name in parts[p].names} for p in parts}
    assert {p: len(alphabets[p]) for p in parts} == {"train": 30, "validation": 10, "test": 10}
    assert sum(part.classes for part in parts.values()) == 1623
    drawings = {p: set(map(bytes, parts[p].x)) for p in parts}
    for p, drawers in (("train", 12), ("validation", 4), ("test", 4)):
        assert (parts[p].count == drawers).all()
        assert parts[p].x.shape[0] == drawers * parts[p].classes
    of_runs = set(map(bytes, real.grouped.x[np.concatenate([runs.train, runs.test], axis=None)]))
    assert of_runs <= drawings["test"]
    assert not of_runs & drawings["train"]
    assert parts["train"].select([7]).names == (parts["train"].names[7],)
    label = real.grouped.names.index(parts["train"].names[7])
    np.testing.assert_array_equal(
        parts["train"].select([7]).x, real.grouped.x[20 * label + 8 : 20 * label + 20]
    )


def test_lakes_runs_are_one_shot_classification_within_an_alphabet(real: omniglot.Omniglot, runs):
    names = np.asarray(real.grouped.names)
    for train, test, label in zip(runs.train, runs.test, runs.label, strict=True):
        np.testing.assert_array_equal(test // 20, train[label] // 20)
        assert len({name.split("/")[0] for name in names[train // 20]}) == 1
        assert len(set(train // 20)) == 20
        assert len(set(train % 20)) == len(set(test % 20)) == 1
        assert train[0] % 20 != test[0] % 20


def test_the_baseline_of_lakes_demonstration(runs):
    """The modified Hausdorff distance of inked pixels (Dubuisson and Jain 1994) has 38.8 % errors,
    as the README of the data set says."""
    x = omniglot.load(105).grouped.x

    def inked(row: int) -> KDTree:
        points = np.argwhere(x[row, :, :, 0] > 0).astype(float)
        return KDTree(points - points.mean(axis=0))

    def distance(a: KDTree, b: KDTree) -> float:
        return max(np.mean(a.query(b.data)[0]), np.mean(b.query(a.data)[0]))

    wrong = []
    for train, test, label in zip(runs.train, runs.test, runs.label, strict=True):
        known = [inked(row) for row in train]
        for row, correct in zip(test, label, strict=True):
            item = inked(row)
            wrong.append(np.argmin([distance(item, other) for other in known]) != correct)
    assert np.mean(wrong) == 0.3875


def test_the_vinyals_split_is_the_one_on_disk(real: omniglot.Omniglot):
    path = cache.find("omniglot.npz")
    assert path is not None
    with np.load(path) as file:
        if "vinyals_split" not in file.files:
            pytest.skip("this omniglot.npz was prepared by quickstudy: there is no second source")
        expected, names = file["vinyals_split"], file["names"]
    for i, part in enumerate(real.split("vinyals").values()):
        assert set(part.names) == set(names[expected == i])


def test_the_drawings_are_drawings(real: omniglot.Omniglot):
    assert real.background.sum() == 964
    assert (~real.background).sum() == 659
    ink = real.grouped.x.mean(axis=(1, 2, 3)) / 255
    assert 0.05 < ink.mean() < 0.12
    assert ink.min() > 0.001  # a few drawings are a dot
    assert ink.max() < 0.4
    assert real.grouped.x.max() == 255


def test_a_nearest_neighbour_beats_chance(real: omniglot.Omniglot):
    """5-way 1-shot on the test characters: pixels alone are right far more often than 1 in 5."""
    test = real.split("vinyals")["test"]
    x = (test.x / 255).reshape(423, 20, -1)
    rng = np.random.default_rng(0)
    right = []
    for _ in range(200):
        support, query = np.moveaxis(
            x[rng.choice(423, 5, False)][:, rng.choice(20, 2, False)], 1, 0
        )
        distance = np.square(query[:, None] - support).sum(axis=2)
        right.append(np.mean(distance.argmin(axis=1) == np.arange(5)))
    assert np.mean(right) > 0.35
