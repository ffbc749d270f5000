"""What is packed comes back, and damage is told."""

import hashlib
import io
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from quickstudy.datasets import folder, packed
from quickstudy.datasets.images import ImageFormat
from quickstudy.errors import UserError

COUNT = {"ant": 3, "bee": 2, "cat": 4}
SHAPE = (5, 4, 3)


def pictures() -> np.ndarray:
    shape = (sum(COUNT.values()), *SHAPE)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    packed.write(tmp_path / "packed", pictures(), COUNT, SHAPE)
    return tmp_path / "packed"


@settings(max_examples=10)
@given(st.data())
def test_packing_and_reading_change_nothing(tmp_path_factory, data: st.DataObject):
    shape = data.draw(st.tuples(*[st.integers(1, 4)] * 3))
    count = data.draw(st.dictionaries(st.text(max_size=3), st.integers(1, 4), min_size=1))
    x = data.draw(arrays(np.uint8, (sum(count.values()), *shape)))
    out = tmp_path_factory.mktemp("packed") / "out"
    packed.write(out, iter(x), count, shape)
    grouped = packed.load(out)
    assert grouped.names == tuple(count)
    assert grouped.count.tolist() == list(count.values())
    np.testing.assert_array_equal(grouped.x, x)
    numbers = data.draw(arrays(np.int32, (2, 3), elements=st.integers(0, len(x) - 1)))
    np.testing.assert_array_equal(packed.Rows.of(grouped.x).read(numbers), x[numbers])


def test_a_split_is_a_choice_of_classes_over_the_same_file(here):
    whole = packed.load(here)
    parts = {"train": whole.named(["cat", "ant"]), "test": whole.named(["bee"])}
    everything = pictures()
    start = dict(zip(COUNT, np.cumsum([0, *COUNT.values()]), strict=False))
    for part in parts.values():
        assert part.x.filename == here / "x.npy"
        for name, first, count in zip(part.names, part.first, part.count, strict=True):
            mine = everything[start[name] : start[name] + COUNT[name]]
            np.testing.assert_array_equal(part.x[first : first + count], mine)


def test_a_folder_of_images_packed_is_that_folder_loaded(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name, count in COUNT.items():
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    for format in (ImageFormat(16, 3, None), ImageFormat(16, 1, "auto")):
        out = tmp_path / f"packed-{format.channels}"
        folder.pack(tmp_path / "pictures", format, out)
        found, expected = packed.load(out), folder.load(tmp_path / "pictures", format)
        assert found.names == expected.names
        assert (found.ink and found.ink.colour) == (expected.ink and expected.ink.colour)
        for a, b in ((found.x, expected.x), (found.first, expected.first)):
            np.testing.assert_array_equal(a, b)
        assert "packing: 9/9" in capsys.readouterr().err


def rewrite(path: Path, **changed) -> None:
    """Other classes, under their checksum."""
    found = json.loads(path.read_text()) | changed
    del found["sha256"]
    sha256 = hashlib.sha256(json.dumps(found).encode()).hexdigest()
    path.write_text(json.dumps({**found, "sha256": sha256}))


def resave(path: Path, old: bytes, new: bytes) -> None:
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))


def header(shape: str) -> bytes:
    """Of an .npy file of bytes, without them."""
    words = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}"
    return b"\x93NUMPY\x01\0\x76\0" + words.ljust(117).encode() + b"\n"


def archive(x: np.ndarray) -> bytes:
    """An .npz file."""
    made = io.BytesIO()
    np.savez(made, x=x)
    return made.getvalue()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda p: (p / "x.npy").write_bytes((p / "x.npy").read_bytes()[:-1]), "cut off"),
        (lambda p: (p / "x.npy").write_bytes(b""), "x.npy is damaged"),
        (lambda p: (p / "x.npy").write_bytes(b"not an array at all"), "x.npy is damaged"),
        (lambda p: (p / "x.npy").write_bytes(header("(99999999999999999999, 5, 4, 3)")), "damaged"),
        (lambda p: (p / "x.npy").write_bytes(header("(1000000000000, 5, 4, 3)")), "damaged"),
        (lambda p: (p / "x.npy").write_bytes(header("(")), "x.npy is damaged"),
        (
            lambda p: np.savez(p / "x.npy", pictures()) or (p / "x.npy.npz").rename(p / "x.npy"),
            "it is",
        ),
        (lambda p: np.save(p / "x.npy", np.array([{}, 1]), allow_pickle=True), "x.npy is damaged"),
        (lambda p: np.save(p / "x.npy", pictures().astype(np.float32)), "float32"),
        (lambda p: np.save(p / "x.npy", np.asfortranarray(pictures())), "Fortran"),
        (lambda p: np.save(p / "x.npy", pictures()[1:]), "has 9 examples and x.npy 8"),
        (lambda p: (p / "x.npy").unlink(), "not a packed data set"),
        (lambda p: (p / "classes.json").unlink(), "packing was interrupted"),
        (lambda p: (p / "classes.json").write_text("{"), "classes.json is damaged"),
        (lambda p: (p / "classes.json").write_text("[1]"), "classes.json is damaged"),
        (
            lambda p: rewrite(p / "classes.json", names=["a", "a", "b"]),
            "names are different strings",
        ),
        (lambda p: rewrite(p / "classes.json", ink="blue"), "ink is dark or light, not 'blue'"),
        (lambda p: rewrite(p / "classes.json", count=[9, 0, 0]), "names are different strings"),
        (lambda p: rewrite(p / "classes.json", count=[9, "x", 0]), "names are different strings"),
        (lambda p: resave(p / "classes.json", b'"cat"', b'"cut"'), "its checksum does not match"),
        (lambda p: resave(p / "classes.json", b'"sha256"', b'"sha257"'), "classes.json is damaged"),
        (lambda p: np.save(p / "crc32.npy", np.zeros(9, np.uint32)), "crc32.npy is damaged"),
        (lambda p: (p / "crc32.npy").unlink(), "crc32.npy is damaged"),
    ],
)
def test_damage_is_told(here, harm, words):
    harm(here)
    with pytest.raises(UserError, match=words) as raised:
        packed.load(here)
    assert str(here) in str(raised.value)


def test_what_is_there_is_left_alone(here, tmp_path):
    before = {path: path.read_bytes() for path in here.iterdir()}
    with pytest.raises(UserError, match="exists and is not empty"):
        packed.write(here, pictures(), COUNT, SHAPE)
    assert before == {path: path.read_bytes() for path in here.iterdir()}
    with pytest.raises(UserError, match="exists and is not empty"):
        packed.write(here / "x.npy", pictures(), COUNT, SHAPE)


def test_an_interrupted_packing_leaves_nothing_that_is_taken_for_whole(tmp_path):
    def breaks_off():
        yield from pictures()[:4]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packed.write(tmp_path / "out", breaks_off(), COUNT, SHAPE)
    with pytest.raises(UserError, match="not a packed data set"):
        packed.load(tmp_path / "out")
    (tmp_path / "out" / ".x.npy.123").write_bytes(b"left by a process that was killed")
    packed.write(tmp_path / "out", pictures(), COUNT, SHAPE)
    np.testing.assert_array_equal(packed.load(tmp_path / "out").x, pictures())
    left = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert left == [".lock", "classes.json", "crc32.npy", "x.npy"]


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(tmp_path):
    huge = {"a": 10**15}
    with pytest.raises(UserError, match=r"out needs 21168000.0 TB and \d.* are free there"):
        packed.write(tmp_path / "out", iter(()), huge, (84, 84, 3))


def test_pictures_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is not uint8"):
        packed.write(tmp_path / "a", pictures()[:, :3], COUNT, SHAPE)
    with pytest.raises(ValueError, match="8 pictures came, and the classes have 9"):
        packed.write(tmp_path / "b", pictures()[1:], COUNT, SHAPE)
    with pytest.raises(UserError, match="not a packed data set"):
        packed.load(tmp_path / "b")


def flip(path: Path, place: int) -> None:
    """One bit of a byte, counted from the end."""
    content = bytearray(path.read_bytes())
    content[-place] ^= 4
    path.write_bytes(content)


@settings(max_examples=20)
@given(place=st.integers(1, 9 * 5 * 4 * 3))
def test_every_damaged_picture_is_named_when_it_is_read_and_the_others_serve(
    tmp_path_factory, place
):
    here = tmp_path_factory.mktemp("damaged") / "packed"
    packed.write(here, pictures(), COUNT, SHAPE)
    flip(here / "x.npy", place)
    damaged = 8 - (place - 1) // 60
    rows = packed.Rows.of(packed.load(here).x)
    others = np.delete(np.arange(9), damaged)
    np.testing.assert_array_equal(rows.read(others), pictures()[others])
    for numbers in (damaged, [[0, damaged], [1, 2]]):
        with pytest.raises(UserError, match=rf"x\.npy is damaged: picture {damaged} does not"):
            rows.read(np.asarray(numbers))
    with pytest.raises(UserError, match=f"picture {damaged} does not have its checksum"):
        packed.check(here)


def test_a_whole_set_is_checked_and_each_picture_once(here, monkeypatch):
    assert packed.check(here).classes == 3
    rows, seen = packed.Rows.of(packed.load(here).x), []
    crc32 = zlib.crc32
    monkeypatch.setattr(packed.zlib, "crc32", lambda row: seen.append(row) or crc32(row))
    for _ in range(3):
        rows.read(np.asarray([4, 2, 4]))
    assert len(seen) == 3  # twice in the first call, as it came twice


def test_a_set_of_an_earlier_version_loads_and_says_that_it_has_no_checksums(here):
    found = json.loads((here / "classes.json").read_text())
    (here / "classes.json").write_text(json.dumps({k: found[k] for k in ("names", "count")}))
    (here / "crc32.npy").unlink()
    np.testing.assert_array_equal(packed.Rows.of(packed.load(here).x).read([3]), pictures()[3:4])
    with pytest.raises(UserError, match="packed by an earlier version, without checksums"):
        packed.check(here)


def test_two_packings_into_one_folder_notice_each_other(tmp_path):
    out = tmp_path / "out"

    def meanwhile():
        everything = pictures()
        yield everything[0]
        with pytest.raises(UserError, match=f"another process packs in {out}: wait"):
            packed.write(out, pictures(), COUNT, SHAPE)
        yield from everything[1:]

    packed.write(out, meanwhile(), COUNT, SHAPE)
    np.testing.assert_array_equal(packed.load(out).x, pictures())
    with pytest.raises(UserError, match="exists and is not empty"):
        packed.write(out, pictures(), COUNT, SHAPE)
