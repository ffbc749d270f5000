from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from quickstudy.datasets import folder
from quickstudy.datasets.images import ImageFormat, read_image
from quickstudy.errors import UserError

quick = settings(max_examples=30, deadline=None)
RGB = ImageFormat(16, 3, False)
GREY = ImageFormat(16, 1, False)
INK = ImageFormat(16, 1, True)


def saved(path: Path, pixels: np.ndarray, **options) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@quick
@given(seed=st.integers(0, 2**32 - 1), channels=st.sampled_from([1, 3]))
def test_an_image_of_the_right_size_comes_back_as_it_is(tmp_path_factory, seed, channels):
    x = np.random.default_rng(seed).integers(0, 256, (16, 16, channels), dtype=np.uint8)
    path = saved(tmp_path_factory.getbasetemp() / "x.png", x if channels == 3 else x[..., 0])
    np.testing.assert_array_equal(read_image(path, ImageFormat(16, channels, False)), x)


@quick
@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 40))
def test_any_shape_becomes_square(tmp_path_factory, height, width, size):
    plain = np.full((height, width, 3), (10, 90, 200), np.uint8)
    path = saved(tmp_path_factory.getbasetemp() / "y.png", plain)
    x = read_image(path, ImageFormat(size, 3, False))
    assert x.shape == (size, size, 3)
    assert (x == (10, 90, 200)).all()


def test_padding_is_centred_in_the_ground_colour(tmp_path: Path):
    wide = np.full((8, 16), 200, np.uint8)
    wide[3:5] = 0
    x = read_image(saved(tmp_path / "x.png", wide), GREY)[..., 0]
    assert (x[:4] == 200).all()
    assert (x[12:] == 200).all()
    assert (x[7:9] == 0).all()


def test_shrinking_is_antialiased(tmp_path: Path):
    thin = np.zeros((105, 105), np.uint8)
    thin[52] = 255
    x = read_image(saved(tmp_path / "x.png", thin), GREY)
    assert (x.max(axis=(0, 2)) > 20).all()
    assert x.max() < 255


@pytest.mark.parametrize("bright", [True, False])
def test_ink_is_bright_on_dark_whatever_the_file(tmp_path: Path, bright: bool):
    drawing = np.full((16, 16), 255 if bright else 0, np.uint8)
    drawing[4:12, 7:9] = 0 if bright else 255
    x = read_image(saved(tmp_path / "x.png", drawing), INK)[..., 0]
    assert (x[4:12, 7:9] == 255).all()
    assert x.sum() == 255 * 16


def test_transparency_is_laid_on_white(tmp_path: Path):
    clear = np.zeros((16, 16, 4), np.uint8)
    clear[4:12, 4:12] = (255, 0, 0, 255)
    path = saved(tmp_path / "x.png", clear)
    x = read_image(path, RGB)
    assert x[0, 0].tolist() == [255, 255, 255]
    assert x[8, 8].tolist() == [255, 0, 0]
    assert read_image(path, INK)[0, 0, 0] == 0


def test_exif_orientation(tmp_path: Path):
    x = np.zeros((16, 16, 3), np.uint8)
    x[:4] = 255  # bright on top as stored
    exif = Image.Exif()
    exif[0x0112] = 6  # the top as stored is the right as seen
    turned = read_image(saved(tmp_path / "x.png", x, exif=exif), RGB)
    np.testing.assert_array_equal(turned, np.rot90(x, -1))


def test_palettes_one_bit_and_sixteen_bits(tmp_path: Path):
    x = np.zeros((16, 16), np.uint8)
    x[8:] = 255
    Image.fromarray(x).convert("P").save(tmp_path / "p.gif")
    Image.fromarray(x).convert("1").save(tmp_path / "1.png")
    Image.fromarray(x.astype(np.uint16) * 257).save(tmp_path / "16.png")
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(read_image(path, GREY)[..., 0], x)
    Image.fromarray(x.astype(np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(UserError, match=r"f\.tif.*real numbers"):
        read_image(tmp_path / "f.tif", GREY)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tif"])
def test_a_truncated_image_is_named(tmp_path: Path, suffix: str):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path / f"broken.{suffix}", noise)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(UserError, match=rf"cannot read the image .*broken\.{suffix}"):
        read_image(path, RGB)


def test_a_missing_image_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"cannot read the image .*none\.png"):
        read_image(tmp_path / "none.png", RGB)


@pytest.mark.parametrize("bad", [(0, 1, False), (28, 2, False), (28, 3, True)])
def test_formats_that_cannot_be(bad):
    with pytest.raises(UserError, match="channels is 1 or 3"):
        ImageFormat(*bad)


classes = st.dictionaries(
    st.text("abcxyzé -_", min_size=1, max_size=5).map(str.strip).filter(bool),
    st.lists(st.integers(0, 255), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


@quick
@given(classes)
def test_a_folder_comes_back_by_class(tmp_path_factory, classes):
    root = tmp_path_factory.mktemp("root")
    for name, greys in classes.items():
        (root / name).mkdir()
        for i, grey in enumerate(greys):
            saved(root / name / f"{i}.png", np.full((3, 4), grey, np.uint8))
    grouped = folder.load(root, ImageFormat(2, 1, False))
    assert grouped.names == tuple(sorted(classes))
    for c, name in enumerate(grouped.names):
        start = grouped.first[c]
        x = grouped.x[start : start + grouped.count[c]]
        assert x[:, 0, 0, 0].tolist() == classes[name]


def test_what_a_folder_ignores(tmp_path: Path):
    dot = np.zeros((2, 2), np.uint8)
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    saved(tmp_path / "a" / "deep" / "1.PNG", dot)
    saved(tmp_path / "a" / ".hidden.png", dot)
    (tmp_path / "a" / "notes.txt").touch()
    (tmp_path / "readme.md").touch()
    grouped = folder.load(tmp_path, GREY)
    assert grouped.names == ("a",)
    assert grouped.count.tolist() == [1]


def test_what_is_wrong_with_a_folder(tmp_path: Path):
    with pytest.raises(UserError, match="there is no folder"):
        folder.load(tmp_path / "none", GREY)
    with pytest.raises(UserError, match="no sub-folders"):
        folder.load(tmp_path, GREY)
    (tmp_path / "wren").mkdir()
    with pytest.raises(UserError, match=r"class folder .*wren has no images"):
        folder.load(tmp_path, GREY)
    (tmp_path / "wren" / "bad.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"wren/bad\.png"):
        folder.load(tmp_path, GREY)
