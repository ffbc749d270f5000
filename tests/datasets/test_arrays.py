import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstudy.datasets import arrays
from quickstudy.errors import UserError

quick = settings(max_examples=60, deadline=None)


def saved(path: Path, **named) -> Path:
    np.savez(path, **named)
    return path


@quick
@given(
    y=st.lists(st.integers(0, 9), min_size=1, max_size=30)
    | st.lists(st.text("abé", min_size=1, max_size=3), min_size=1, max_size=30),
    dtype=st.sampled_from(["f4", "f8", "i8", "u1"]),
)
def test_round_trip(tmp_path_factory, y: list, dtype: str):
    x = np.stack([np.arange(len(y)), np.ones(len(y))], axis=1).astype(dtype)
    grouped = arrays.load(saved(tmp_path_factory.getbasetemp() / "xy.npz", x=x, y=np.array(y)))
    assert grouped.x.dtype == np.float32
    assert grouped.count.sum() == len(y)
    for c, name in enumerate(grouped.names):
        rows = grouped.x[grouped.first[c] : grouped.first[c] + grouped.count[c], 0]
        assert rows.tolist() == [i for i, label in enumerate(y) if str(label) == name]


@pytest.mark.parametrize(
    ("shape", "dtype", "becomes"),
    [
        ((6, 4, 4), np.uint8, ((6, 4, 4, 1), np.uint8)),
        ((6, 3, 4, 3), np.uint8, ((6, 3, 4, 3), np.uint8)),  # channels last, three pixels high
        ((6, 4, 4, 3), np.uint8, ((6, 4, 4, 3), np.uint8)),
        ((6, 4, 4, 3), np.float64, ((6, 4, 4, 3), np.float32)),
        ((6, 4), np.uint8, ((6, 4), np.float32)),
    ],
)
def test_images_stay_bytes(tmp_path: Path, shape, dtype, becomes):
    path = saved(tmp_path / "a.npz", x=np.zeros(shape, dtype), y=np.arange(6))
    x = arrays.load(path).x
    assert (x.shape, x.dtype) == becomes


x, y = np.zeros((3, 2)), np.arange(3)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"x": x, "labels": y}, "has no array y; it has x, labels"),
        ({"x": x, "y": np.arange(4)}, r"y has shape \(4,\) and x \(3, 2\)"),
        ({"x": x, "y": x}, "y has shape"),
        ({"x": np.zeros(3), "y": y}, "x has shape"),
        ({"x": np.zeros((0, 2)), "y": np.arange(0)}, "x has shape"),
        ({"x": np.zeros((3, 0)), "y": y}, "x has shape .* with no length 0"),
        ({"x": np.zeros((3, 0, 16, 1), np.uint8), "y": y}, "x has shape .* with no length 0"),
        (
            {"x": np.zeros((3, 3, 8, 8), np.uint8), "y": y},
            "channels come first.* save numpy.moveaxis",
        ),
        ({"x": np.zeros((3, 1, 8, 9)), "y": y}, "channels come first"),
        ({"x": x, "y": y * 1.0}, "labels must be integers or strings"),
        ({"x": x, "y": np.array([1, 2, np.nan])}, "and row 2 is nan; labels must be integers"),
        ({"x": x, "y": y - 1}, "y is -1 in row 0"),
        ({"x": x * 1j, "y": y}, "must hold real numbers"),
        ({"x": x, "y": np.array(["a", None, "b"])}, "never unpickled"),
        ({"x": np.array([[1, 1], [1, np.nan], [1, 1]]), "y": y}, "1 rows .* the first is row 1"),
        ({"x": x + 1e300, "y": y}, "3 rows .* not finite in float32"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, named, message: str):
    path = saved(tmp_path / "a.npz", **named)
    with pytest.raises(UserError, match=message) as error:
        arrays.load(path)
    assert str(path) in str(error.value)


def test_files_that_are_not_npz(tmp_path: Path):
    with pytest.raises(UserError, match="there is no file"):
        arrays.load(tmp_path / "none.npz")
    for name, content in {"empty": b"", "text": b"x,y\n1,2\n", "pickle": b"\x80\x04N."}.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}\.npz is damaged or not an \.npz"):
            arrays.load(path)
    np.save(tmp_path / "one.npy", x)
    with pytest.raises(UserError, match="a single array"):
        arrays.load(tmp_path / "one.npy")


def header(shape: tuple[int, ...]) -> bytes:
    """Of an .npy file of float32 numbers, without them."""
    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        made, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    return made.getvalue()


def npz_of(path: Path, content: bytes) -> Path:
    """An archive whose members x and y both have this content."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        *(header((10**12, 4)), header((4 * 10**10,)), header((99999999999999999999, 4))),
        *(header((3,)) + bytes(8), header((3,)) + bytes(16), header((-1, 4))),
        *(
            b"",
            b"no array",
            b"\x93NUMPY\x07\0 and more",
            b"\x93NUMPY\x03\0\xff\xff\xff\x7f",
        ),
    ],
)
def test_what_a_member_declares_is_checked_before_it_is_made(tmp_path: Path, content: bytes):
    with pytest.raises(UserError, match=r"a\.npz is damaged") as error:
        arrays.read_npz(npz_of(tmp_path / "a.npz", content), ("x", "y"))
    assert "\n" not in str(error.value)


def test_an_array_beyond_memory_is_said(tmp_path: Path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 149 GiB")

    path = saved(tmp_path / "a.npz", x=x, y=y)
    monkeypatch.setattr(np.lib.format, "read_array", full)
    with pytest.raises(UserError, match=r"a\.npz is larger than the memory \(Unable"):
        arrays.load(path)


@quick
@given(st.lists(st.tuples(st.integers(6, 90), st.integers(0, 255)), min_size=1, max_size=5))
def test_a_header_of_any_bytes_is_refused_or_read(tmp_path_factory, harm: list):
    content = bytearray(header((4, 4)) + np.eye(4, dtype=np.float32).tobytes())
    for place, byte in harm:
        content[place] = byte
    path = npz_of(tmp_path_factory.getbasetemp() / "header.npz", bytes(content))
    with contextlib.suppress(UserError):
        assert len(arrays.read_npz(path, ("x", "y"))) == 2


@quick
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_a_damaged_byte_is_noticed_or_harmless(tmp_path_factory, place: int, flip: int):
    path = saved(tmp_path_factory.getbasetemp() / "damaged.npz", x=np.eye(6), y=np.arange(6))
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= flip
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        np.testing.assert_array_equal(arrays.load(path).x, np.eye(6))


def test_files_of_another_zip_method_are_damaged_too(tmp_path: Path):
    path = saved(tmp_path / "a.npz", x=x, y=y)
    content = path.read_bytes()
    entry = content.index(b"PK\x01\x02")  # its place in the directory: byte 10 is the method
    path.write_bytes(content[: entry + 10] + b"\x63" + content[entry + 11 :])
    with pytest.raises(UserError, match=r"a\.npz is damaged"):
        arrays.load(path)
