import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from quickstudy.datasets import folder, images
from quickstudy.datasets.images import ImageFormat, Ink, decided, read_image
from quickstudy.errors import UserError

quick = settings(max_examples=30, deadline=None)
RGB = ImageFormat(16, 3, None)
GREY = ImageFormat(16, 1, None)
INK = ImageFormat(16, 1, "dark")


def saved(path: Path, pixels: np.ndarray, **options) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@quick
@given(seed=st.integers(0, 2**32 - 1), channels=st.sampled_from([1, 3]))
def test_an_image_of_the_right_size_comes_back_as_it_is(tmp_path_factory, seed, channels):
    x = np.random.default_rng(seed).integers(0, 256, (16, 16, channels), dtype=np.uint8)
    path = saved(tmp_path_factory.getbasetemp() / "x.png", x if channels == 3 else x[..., 0])
    np.testing.assert_array_equal(read_image(path, ImageFormat(16, channels, None)), x)


@quick
@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 40))
def test_any_shape_becomes_square(tmp_path_factory, height, width, size):
    plain = np.full((height, width, 3), (10, 90, 200), np.uint8)
    path = saved(tmp_path_factory.getbasetemp() / "y.png", plain)
    x = read_image(path, ImageFormat(size, 3, None))
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
    path = saved(tmp_path / "x.png", drawing)
    format, ink = decided(ImageFormat(16, 1, "auto"), [path])
    assert ink == Ink("dark" if bright else "light", 0)
    x = read_image(path, format)[..., 0]
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


def png(bits: int, x: np.ndarray, clear: int | None = None) -> bytes:
    """A grey picture in a PNG of so many bits (PNG specification, sections 5.3, 11.2, 11.3.2.1):
    Pillow writes no such depths itself."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    height, width = x.shape
    places = np.unpackbits(x.astype(">u2").view(np.uint8).reshape(height, width, 2), axis=2)
    rows = np.packbits(places[:, :, 16 - bits :].reshape(height, -1), axis=1)
    content = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    seen = b"" if clear is None else chunk(b"tRNS", struct.pack(">H", clear))
    parts = [chunk(b"IHDR", header), seen, chunk(b"IDAT", zlib.compress(content))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def tiff(bits: int, x: np.ndarray, white_is_zero: bool, kind: int = 1) -> bytes:
    """A grey picture in a little-endian TIFF (revision 6.0, section 3) of 8, 12, 16 or 32 bits;
    `kind` is its SampleFormat."""
    height, width = x.shape
    x = 2**bits - 1 - x if white_is_zero else x
    if bits == 12:
        places = np.unpackbits(x.astype(">u2").view(np.uint8).reshape(height, width, 2), axis=2)
        content = np.packbits(places[:, :, 4:].reshape(height, -1), axis=1).tobytes()
    else:
        numbers = {1: "u", 2: "i"}[kind]
        content = x.astype(f"<{numbers}{bits // 8}").tobytes()
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: int(not white_is_zero)}
    entries |= {273: 8 + 2 + 12 * 10 + 4, 277: 1, 278: height, 279: len(content), 339: kind}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return b"II*\0" + struct.pack("<IH", 8, 10) + table + bytes(4) + content


def levels(seed: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """A random picture of so many bits with its darkest and brightest value in it, and the same
    with 8 bits: v of 2^bits - 1 is v · 255 / (2^bits - 1)."""
    most = 2 ** min(bits, 8) - 1
    x = np.random.default_rng(seed).integers(0, most + 1, (16, 16))
    x[0, :2] = 0, most
    stored = np.round(x * ((2**bits - 1) / most)).astype(np.int64)
    return stored, (x * (255 // most)).astype(np.uint8)


@quick
@given(seed=st.integers(0, 2**32 - 1), bits=st.sampled_from([1, 2, 4, 8, 16]))
def test_a_grey_png_of_any_depth_is_its_8_bit_version(tmp_path_factory, seed, bits):
    stored, expected = levels(seed, bits)
    path = tmp_path_factory.getbasetemp() / "depth.png"
    path.write_bytes(png(bits, stored))
    np.testing.assert_array_equal(read_image(path, GREY)[..., 0], expected)
    if bits > 1:  # what is transparent is white
        clear = int(np.unique(stored)[1])
        path.write_bytes(png(bits, stored, clear))
        seen = np.where(stored == clear, 255, expected)
        np.testing.assert_array_equal(read_image(path, GREY)[..., 0], seen)


@quick
@given(seed=st.integers(0, 2**32 - 1), bits=st.sampled_from([8, 12, 16]), white=st.booleans())
def test_a_grey_tiff_of_any_depth_is_its_8_bit_version(tmp_path_factory, seed, bits, white):
    if bits == 12 and white:
        return  # Pillow opens none
    stored, expected = levels(seed, bits)
    path = tmp_path_factory.getbasetemp() / "depth.tif"
    path.write_bytes(tiff(bits, stored, white))
    np.testing.assert_array_equal(read_image(path, GREY)[..., 0], expected)


LOSSLESS = [
    *(("1", "png"), ("1", "tif"), ("1", "bmp"), ("1", "gif"), ("1", "pbm")),
    *(("L", "png"), ("L", "tif"), ("L", "bmp"), ("L", "gif"), ("L", "pgm"), ("L", "tga")),
    *(("P", "png"), ("P", "tif"), ("P", "bmp"), ("P", "gif"), ("P", "tga")),
    *(("LA", "png"), ("LA", "tif"), ("LA", "tga"), ("PA", "tif")),
    *(("RGB", "png"), ("RGB", "tif"), ("RGB", "bmp"), ("RGB", "webp"), ("RGB", "ppm")),
    *(("RGBA", "png"), ("RGBA", "tif"), ("RGBA", "webp"), ("RGBX", "tif")),
    *(("CMYK", "tif"), ("I;16", "png"), ("I;16", "tif"), ("I;16B", "tif"), ("I;16", "pgm")),
]


@quick
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(LOSSLESS))
def test_a_grey_picture_reads_alike_in_all_modes_and_formats(tmp_path_factory, seed, kind):
    mode, suffix = kind
    _, x = levels(seed, 1 if mode == "1" else 8)
    if mode.startswith("I"):
        order = ">" if mode == "I;16B" else "<"
        image = Image.frombytes(mode, (16, 16), (x.astype(f"{order}u2") * 257).tobytes())
    elif mode == "CMYK":
        image = Image.fromarray(np.stack([*[np.zeros_like(x)] * 3, 255 - x], -1), "CMYK")
    else:
        image = Image.fromarray(x).convert(mode)
    path = tmp_path_factory.getbasetemp() / f"x.{suffix}"
    image.save(path, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(read_image(path, GREY)[..., 0], x)
    np.testing.assert_array_equal(read_image(path, RGB), np.repeat(x[..., None], 3, -1))


@pytest.mark.parametrize(
    ("mode", "options"), [("L", {}), ("RGB", {"subsampling": 0}), ("CMYK", {}), ("YCbCr", {})]
)
def test_a_jpeg_is_about_what_was_saved(tmp_path: Path, mode: str, options: dict):
    x = np.zeros((16, 16), np.uint8)
    x[:, 8:] = 255
    Image.fromarray(x).convert("RGB").convert(mode).save(tmp_path / "x.jpg", quality=95, **options)
    found = read_image(tmp_path / "x.jpg", GREY)[..., 0]
    assert np.abs(found.astype(int) - x).max() < 20


def test_a_palette_with_transparent_colours_lies_on_white(tmp_path: Path):
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16) % 3, "P")
    image.putpalette([0, 0, 0, 90, 90, 90, 30, 30, 30])
    expected = np.asarray([0, 90, 255], np.uint8)[np.asarray(image)]
    image.save(tmp_path / "a.png", transparency=2)
    image.save(tmp_path / "b.png", transparency=b"\xff\xff\0")
    image.save(tmp_path / "c.gif", transparency=2)
    for name in ("a.png", "b.png", "c.gif"):
        np.testing.assert_array_equal(read_image(tmp_path / name, GREY)[..., 0], expected)


def png_of_16_bits(x: np.ndarray, kind: int) -> bytes:
    """A PNG of 16 bits and several channels (height, width, channels); 2 is RGB, 4 grey with
    alpha, 6 RGB with alpha."""
    grey = png(16, x.reshape(len(x), -1))
    header = struct.pack(">IIBBBBB", x.shape[1], len(x), 16, kind, 0, 0, 0)
    checked = b"IHDR" + header
    return grey[:12] + checked + struct.pack(">I", zlib.crc32(checked)) + grey[33:]


@quick
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from([(2, 3), (4, 2), (6, 4)]))
def test_several_channels_of_16_bits_are_their_8_bit_version(tmp_path_factory, seed, kind):
    kind, channels = kind
    _, grey = levels(seed, 8)
    x = np.repeat(grey[..., None], channels, -1).astype(np.int64)
    if kind != 2:
        x[..., -1] = 255
    path = tmp_path_factory.getbasetemp() / "wide.png"
    path.write_bytes(png_of_16_bits(257 * x, kind))
    np.testing.assert_array_equal(read_image(path, GREY)[..., 0], grey)
    path.write_bytes(png_of_16_bits(x, kind))
    with pytest.raises(UserError, match=r"wide\.png.*of 65535.*save it with 8 bits"):
        read_image(path, GREY)


@quick
@given(seed=st.integers(0, 2**32 - 1), bits=st.sampled_from([8, 10, 12, 14]))
def test_a_picture_of_fewer_levels_than_its_file_is_refused(tmp_path_factory, seed, bits):
    """Whether it is dark or of fewer bits, the file does not say."""
    stored, _ = levels(seed, bits)
    path = tmp_path_factory.getbasetemp() / "few.png"
    path.write_bytes(png(16, stored))
    with pytest.raises(UserError, match=rf"few\.png.*end at {stored.max()}, of 65535.*8 bits"):
        read_image(path, GREY)


def test_a_dark_ground_with_bright_strokes_of_16_bits_is_read(tmp_path: Path):
    x = np.full((16, 16), 100)
    x[4:12, 7:9] = 60_000
    (tmp_path / "x.png").write_bytes(png(16, x))
    np.testing.assert_array_equal(read_image(tmp_path / "x.png", GREY)[..., 0], x >> 8)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("int.tif", tiff(32, np.arange(256).reshape(16, 16), False), "unknown range"),
        ("signed.tif", tiff(16, np.arange(256).reshape(16, 16), False, 2), "unknown range"),
        ("flat.png", png(16, 30_000 + np.arange(4).reshape(2, 2)), "all its pixels are the same"),
    ],
)
def test_pictures_of_unknown_range_are_refused(tmp_path: Path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}.*{says}"):
        read_image(tmp_path / name, GREY)


def test_pictures_of_real_numbers_are_refused(tmp_path: Path):
    Image.fromarray(np.eye(16, dtype=np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(UserError, match=r"f\.tif.*real numbers"):
        read_image(tmp_path / "f.tif", GREY)


def test_a_picture_of_which_nothing_is_left_is_refused(tmp_path: Path):
    white = np.full((16, 16, 4), 255, np.uint8)
    white[..., 3] = np.arange(256).reshape(16, 16)  # white strokes on a transparent ground
    with pytest.raises(UserError, match=r"icon\.png.*all its pixels are the same"):
        read_image(saved(tmp_path / "icon.png", white), RGB)
    equal = np.zeros((16, 16, 3), np.uint8)
    equal[:8], equal[8:] = (0, 0, 255), (97, 0, 0)  # two colours, one grey
    path = saved(tmp_path / "equal.png", equal)
    assert len(np.unique(np.asarray(Image.open(path).convert("L")))) == 1
    with pytest.raises(UserError, match=r"equal\.png.*in grey.*the same"):
        read_image(path, GREY)
    assert len(np.unique(read_image(path, RGB))) > 1
    speck = np.zeros((2000, 2000), np.uint8)
    speck[1000, 1000] = 255
    with pytest.raises(UserError, match=r"speck\.png.*--image-size"):
        read_image(saved(tmp_path / "speck.png", speck), GREY)


def letters(folder: Path, touching: int, of: int, ground: int) -> Path:
    """`of` pictures of one class; the strokes of the first `touching` fill the border."""
    (folder / "a").mkdir(parents=True)
    for i in range(of):
        x = np.full((16, 16), ground, np.uint8)
        x[6:10, 6:10] = 255 - ground
        if i < touching:
            x[[0, -1]] = x[:, [0, -1]] = 255 - ground
        saved(folder / "a" / f"{i:03}.png", x)
    return folder


@pytest.mark.parametrize("ground", [0, 255])
@pytest.mark.parametrize("of", [10, 60])
def test_ink_is_decided_once_for_a_folder(tmp_path: Path, monkeypatch, ground: int, of: int):
    monkeypatch.setattr(images, "LOOKED_AT", 50)
    path = letters(tmp_path / "letters", 4 * of // 10, of, ground)
    read = folder.load(path, ImageFormat(16, 1, "auto"))
    assert (read.x[:, 7, 7] == 255).all()  # all strokes are bright, those of the border as well
    assert (read.x[:, 3, 3] == 0).all()
    assert read.ink is not None
    assert read.ink.colour == ("dark" if ground else "light")
    assert read.ink.otherwise == pytest.approx(0.4, abs=0.02)
    assert f"40 % of the pictures have a {read.ink.colour} border" in str(read.ink)
    for colour in ("dark", "light"):  # said by hand
        read = folder.load(path, ImageFormat(16, 1, colour))
        assert read.ink is not None
        assert read.ink.colour == colour
        assert (read.x[:, 7, 7] == (255 if (colour == "dark") == (ground == 255) else 0)).all()
    assert folder.load(path, ImageFormat(16, 3, None)).ink is None


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


@pytest.mark.parametrize("bad", [(0, 1, None), (28, 2, None), (28, 3, "dark")])
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
    grouped = folder.load(root, ImageFormat(2, 1, None))
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


def test_a_class_folder_that_is_a_link(tmp_path: Path):
    root, far = tmp_path / "birds", tmp_path / "far"
    for place in (root / "robin", far / "wren"):
        place.mkdir(parents=True)
        saved(place / "1.png", np.zeros((2, 2), np.uint8))
    (root / "wren").symlink_to(far / "wren")
    assert folder.load(root, GREY).names == ("robin", "wren")  # elsewhere: as good as any
    for target, says in [
        (root, r"birds/all is a link to .*birds, which holds the whole data set"),
        (tmp_path, r"birds/all is a link to .*, which holds the whole data set"),
        (root / "robin", r"class folders .* hold the same images, in .*robin"),
        (far, r"class folders .*wren and .*all hold the same images"),
    ]:
        (root / "all").symlink_to(target)
        with pytest.raises(UserError, match=says):
            folder.load(root, GREY)
        (root / "all").unlink()
