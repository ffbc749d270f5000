"""Any image file -> a square array of bytes, the same way for training and for serving."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from quickstudy.errors import UserError

RESAMPLING = Image.Resampling.LANCZOS  # filters as it shrinks, so thin strokes do not break

LOOKED_AT = 500
"""Pictures of a data set whose borders decide which of dark and light is ink."""

FEWEST_LEVELS = 2**14
"""The least that the brightest pixel of a picture of 16 bits must reach: one whose values end at
255, 1023, 4095 or 16383 may as well have 8, 10, 12 or 14 bits."""

BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262
"""Tags of TIFF files. A photometric interpretation of 0 says that 0 is white."""


@dataclass(frozen=True)
class ImageFormat:
    """What every image becomes: (size, size, channels) bytes.

    With `ink`, one channel with strokes bright on dark (255 is ink), as Omniglot has them: "dark"
    and "light" say what ink is in the files, "auto" leaves it to `decided`.

    >>> ImageFormat(size=28, channels=1, ink="dark")
    ImageFormat(size=28, channels=1, ink='dark')
    """

    size: int
    channels: int
    ink: Literal["auto", "dark", "light"] | None

    def __post_init__(self):
        if self.size < 1 or self.channels not in (1, 3) or (self.ink and self.channels == 3):
            raise UserError(
                f"{self} cannot be: size is at least 1, channels is 1 or 3, and ink has 1 channel"
            )


@dataclass(frozen=True)
class Ink:
    """Which of dark and light is ink in the pictures of a data set.

    >>> str(Ink("dark", 0.26))
    'dark ink on a light ground (26 % of the pictures have a dark border)'
    """

    colour: Literal["dark", "light"]
    otherwise: float = 0.0
    """The share of pictures whose border is of the colour that ink has."""

    def __str__(self) -> str:
        ground = "light" if self.colour == "dark" else "dark"
        some = f" ({self.otherwise:.0%} of the pictures have a {self.colour} border)"
        said = some.replace("%", " %") if self.otherwise else ""
        return f"{self.colour} ink on a {ground} ground{said}"


def decided(format: ImageFormat, files: Sequence[Path]) -> tuple[ImageFormat, Ink | None]:
    """Decide once for all pictures of a data set which of dark and light is ink.

    With `format.ink` "auto", the ground is what most of their borders are, of at most `LOOKED_AT`
    of them; otherwise ink is as `format` says. Gives the format to read them with, and the ink:
    None where the format has none.

    Raises `UserError` as `read_image` does.
    """
    if format.ink is None or not files:
        return format, None
    some = np.unique(np.linspace(0, len(files) - 1, LOOKED_AT).round().astype(int))
    bright = float(np.mean([ground(read_pixels(files[i], 1))[0] > 127 for i in some]))
    colour = format.ink if format.ink != "auto" else "dark" if bright >= 0.5 else "light"
    ink = Ink(colour, 1 - bright if colour == "dark" else bright)
    return replace(format, ink=colour), ink


def read_image(path: Path, format: ImageFormat) -> np.ndarray:
    """An image file of any kind that Pillow reads, as uint8 (size, size, channels).

    Turned upright by its EXIF orientation; laid on white where it is transparent; shrunk or
    enlarged with its proportions kept, and centred on a square of the ground colour, which is
    the median of its border. Inverted if `format.ink` is "dark". Of several frames, the first.

    Raises `UserError` naming the file if it cannot be read, if the range of its values is not
    known, and if a picture that is not of one colour would become one.

    >>> read_image(Path("cat/001.jpg"), ImageFormat(84, 3, ink=None)).shape
    (84, 84, 3)
    """
    return squared(str(path), read_pixels(path, format.channels), format)


def squared(name: str, pixels: np.ndarray, format: ImageFormat) -> np.ndarray:
    """Pixels (height, width, channels) as `read_image` gives those of a file; `name` names the
    picture in messages."""
    if format.ink == "auto":
        raise ValueError("which of dark and light is ink? see `decided`")
    if format.ink == "dark":
        pixels = 255 - pixels
    square = padded(pixels, ground(pixels).astype(np.uint8), format.size)
    if _plain(square) and not _plain(pixels):
        raise UserError(
            f"cannot use the image {name}: nothing of it is left at {format.size} × {format.size} "
            "pixels; take a larger --image-size, or take it away"
        )
    return square


def resized(x: np.ndarray, size: int) -> np.ndarray:
    """uint8 pictures of one channel (N, height, width, 1) as (N, size, size, 1)."""
    if x.shape[1:3] == (size, size):
        return x
    made = [Image.fromarray(one[..., 0]).resize((size, size), RESAMPLING) for one in x]
    return np.stack([np.asarray(one) for one in made])[..., None]


def read_pixels(path: Path, channels: int) -> np.ndarray:
    """The pixels of an image file, uint8 (height, width, channels)."""
    try:
        with Image.open(path) as file:
            return pixels_of(file, channels)
    except Exception as error:  # on damaged bytes, Pillow's decoders raise whatever they like
        raise UserError(
            f"cannot read the image {path} ({error}): replace it or take it away"
        ) from None


def pixels_of(file: Image.Image, channels: int) -> np.ndarray:
    """The pixels of an open image, uint8 (height, width, channels). Raises `ValueError` where the
    range of its values is not known, or nothing is left of it; and what Pillow raises."""
    kept = str([tile.args for tile in getattr(file, "tile", [])])  # how its file holds the pixels
    tags: Any = getattr(file, "tag_v2", {})
    if file.mode == "F":
        raise ValueError("its pixels are real numbers of unknown range; save it with 8 bits")
    if file.mode == "I" and file.format != "PPM":  # Pillow brings those of a PPM to 16 bits
        raise ValueError("its pixels are integers of unknown range; save it with 8 bits")
    image = ImageOps.exif_transpose(file)
    stored = np.asarray(image)
    if image.mode.startswith("I"):
        bits, white_is_zero = tags.get(BITS_PER_SAMPLE, (16,))[0], tags.get(PHOTOMETRIC) == 0
        image = _grey(stored.astype(np.int64), bits, white_is_zero, image.info.get("transparency"))
    elif ";16" in kept and image.mode != "CMYK":
        _require_16_bits(stored, alpha=image.getbands()[-1] in "Aa")
    elif "'L;2'" in kept or "'L;4'" in kept:  # what is transparent is said in 2 or 4 bits too
        scale = 85 if "'L;2'" in kept else 17
        if "transparency" in image.info:
            image.info["transparency"] *= scale
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    if _plain(pixels) and not _plain(stored):
        raise ValueError(
            f"with 8 bits, in {'colour' if channels == 3 else 'grey'} and on white, all its pixels "
            "are the same"
        )
    return pixels.reshape(*pixels.shape[:2], channels)


def _grey(wide: np.ndarray, bits: int, white_is_zero: bool, clear: int | None) -> Image.Image:
    """Integers of so many bits as a picture of 8; `clear` is the one that is transparent."""
    if bits == 16 and 0 < wide.max() < FEWEST_LEVELS:
        raise _unknown_depth(f"end at {wide.max()}")
    grey = (wide >> (bits - 8)).astype(np.uint8)
    image = Image.fromarray(255 - grey if white_is_zero else grey)
    if clear is not None:
        image.putalpha(Image.fromarray(np.where(wide == clear, 0, 255).astype(np.uint8)))
    return image


def _require_16_bits(stored: np.ndarray, alpha: bool) -> None:
    """Raise `ValueError` unless a picture of several channels uses enough of its 16 bits to be
    known to have 16. Pillow keeps the upper 8: `stored` (height, width, channels)."""
    colours = stored[..., :-1] if alpha else stored
    if _plain(stored) and not colours.any():
        raise _unknown_depth("are all below 256")
    if 0 < colours.max() < FEWEST_LEVELS >> 8:
        raise _unknown_depth(f"end below {256 * (int(colours.max()) + 1)}")


def _unknown_depth(values: str) -> ValueError:
    return ValueError(
        f"its values {values}, of 65535: whether it is dark or has fewer than 16 bits is not "
        "known; save it with 8 bits"
    )


def _plain(pixels: np.ndarray) -> bool:
    """Whether all pixels of (height, width[, channels]) are the same."""
    return bool((pixels == pixels[:1, :1]).all())


def ground(pixels: np.ndarray) -> np.ndarray:
    """The ground colour of (height, width, channels): the median of its four edges."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return np.median(border, axis=0)


def padded(
    pixels: np.ndarray, ground: np.ndarray, size: int, resampling: Image.Resampling = RESAMPLING
) -> np.ndarray:
    """(height, width, channels) -> (size, size, channels), centred on the ground colour."""
    height, width, channels = pixels.shape
    scale = size / max(height, width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    image = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
    square = np.empty((size, size, channels), np.uint8)
    square[:] = ground
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = np.asarray(
        image.resize((width, height), resampling)
    ).reshape(height, width, channels)
    return square
