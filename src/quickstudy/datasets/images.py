"""Any image file -> a square array of bytes, the same way for training and for serving."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from quickstudy.errors import UserError

RESAMPLING = Image.Resampling.LANCZOS  # filters as it shrinks, so thin strokes do not break


@dataclass(frozen=True)
class ImageFormat:
    """What every image becomes: (size, size, channels) bytes.

    With `ink`, one channel with strokes bright on dark (255 is ink), as Omniglot has them,
    whether the file is black on white or white on black.

    >>> ImageFormat(size=28, channels=1, ink=True)
    ImageFormat(size=28, channels=1, ink=True)
    """

    size: int
    channels: int
    ink: bool

    def __post_init__(self):
        if self.size < 1 or self.channels not in (1, 3) or (self.ink and self.channels == 3):
            raise UserError(
                f"{self} cannot be: size is at least 1, channels is 1 or 3, and ink has 1 channel"
            )


def read_image(path: Path, format: ImageFormat) -> np.ndarray:
    """An image file of any kind that Pillow reads, as uint8 (size, size, channels).

    Turned upright by its EXIF orientation; laid on white where it is transparent; shrunk or
    enlarged with its proportions kept, and centred on a square of the ground colour, which is
    the median of its border. With `format.ink`, inverted if that ground is bright.

    Raises `UserError` naming the file if it cannot be read.

    >>> read_image(Path("cat/001.jpg"), ImageFormat(84, 3, ink=False)).shape
    (84, 84, 3)
    """
    try:
        with Image.open(path) as file:
            pixels = _pixels(ImageOps.exif_transpose(file), format.channels)
    except Exception as error:  # on damaged bytes, Pillow's decoders raise whatever they like
        raise UserError(
            f"cannot read the image {path} ({error}): replace it or take it away"
        ) from None
    ground = np.median(_border(pixels), axis=0)
    if format.ink and ground[0] > 127:
        pixels, ground = 255 - pixels, 255 - ground
    return _fit(pixels, ground.astype(np.uint8), format.size)


def resized(x: np.ndarray, size: int) -> np.ndarray:
    """uint8 pictures of one channel (N, height, width, 1) as (N, size, size, 1)."""
    if x.shape[1:3] == (size, size):
        return x
    made = [Image.fromarray(one[..., 0]).resize((size, size), RESAMPLING) for one in x]
    return np.stack([np.asarray(one) for one in made])[..., None]


def _pixels(image: Image.Image, channels: int) -> np.ndarray:
    """An open image as uint8 (height, width, channels)."""
    if image.mode.startswith("I"):  # 16 bits a pixel, which `convert` would clip to 8
        wide = np.asarray(image).astype(np.int64)
        image = Image.fromarray((np.clip(wide, 0, 65535) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are real numbers of unknown range; save it with 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return pixels.reshape(*pixels.shape[:2], channels)


def _border(pixels: np.ndarray) -> np.ndarray:
    """(height, width, channels) -> the pixels along the four edges, (edge, channels)."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _fit(pixels: np.ndarray, ground: np.ndarray, size: int) -> np.ndarray:
    """(height, width, channels) -> (size, size, channels), centred on the ground colour."""
    height, width, channels = pixels.shape
    scale = size / max(height, width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    image = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
    square = np.empty((size, size, channels), np.uint8)
    square[:] = ground
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = np.asarray(
        image.resize((width, height), RESAMPLING)
    ).reshape(height, width, channels)
    return square
