"""What a model for `--embed` takes, as the JSON file beside it declares: model.onnx, model.json.

    {"images": {"size": 224, "fit": "crop", "resize": 256, "colours": "RGB", "range": [0, 1],
                "mean": [0.485, 0.456, 0.406], "deviation": [0.229, 0.224, 0.225],
                "layout": "NCHW"}}

All fields are in docs/embeddings.md.
"""

import hashlib
import math
import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from quickstudy.datasets.images import ground, padded
from quickstudy.errors import UserError

LONGEST = 64
"""How many times the size of a crop the longer side of a resized picture may be."""

Length = Annotated[int, msgspec.Meta(ge=1, le=8192)]
Name = Annotated[str, msgspec.Meta(min_length=1)]


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Fields of a JSON object; unknown ones are refused."""


class Images(Declared, frozen=True):
    """How a picture becomes one input of the model."""

    size: Length
    """Height and width of the input, in pixels."""
    fit: Literal["crop", "pad", "stretch"]
    """Crop the middle, pad to a square in the colour of the ground, or change the proportions."""
    colours: Literal["RGB", "BGR", "grey"]
    range: tuple[float, float]
    """What the bytes 0 and 255 become, before the mean is taken off."""
    mean: tuple[float, ...]
    """Of each channel, in the order of `colours` …"""
    deviation: tuple[float, ...]
    """… and what it is divided by."""
    layout: Literal["NCHW", "NHWC"]
    resize: Length | None = None
    """With "crop": the length of the shorter side before the middle is cut out; by default
    `size`."""
    resampling: Literal["bilinear", "bicubic", "lanczos"] = "bicubic"
    input: Name | None = None
    """The graph's input; by default its only one."""

    def __post_init__(self):
        for word, numbers in (("mean", self.mean), ("deviation", self.deviation)):
            if len(numbers) != self.channels:
                raise ValueError(f"{word} has {len(numbers)} numbers for {self.channels} channels")
        if not all(map(math.isfinite, (*self.range, *self.mean, *self.deviation))):
            raise ValueError("range, mean and deviation are finite numbers")
        if min(self.deviation) <= 0:
            raise ValueError("deviation is above 0")
        if self.range[0] >= self.range[1]:
            raise ValueError("range is [low, high], low first")
        if self.resize is not None and (self.fit != "crop" or self.resize < self.size):
            raise ValueError('resize is for fit "crop", and at least size')

    @property
    def channels(self) -> int:
        """How many the model takes."""
        return 1 if self.colours == "grey" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one input."""
        if self.layout == "NCHW":
            return self.channels, self.size, self.size
        return self.size, self.size, self.channels


class Texts(Declared, frozen=True):
    """How a text becomes one input of the model."""

    tokenizer: Name
    """A tokenizer.json of the library `tokenizers`, beside this file."""
    max_length: Length
    """Tokens beyond these are cut off."""
    ids: Name = "input_ids"
    """The graph's input of token numbers …"""
    mask: Name = "attention_mask"
    """… of 1 for a token and 0 for padding …"""
    types: Name = "token_type_ids"
    """… and of segments. The graph need not have the last two."""

    def __post_init__(self):
        if Path(self.tokenizer).name != self.tokenizer:
            raise ValueError("tokenizer names a file in the same folder")


class Declaration(Declared, frozen=True):
    """What model.json says: of a model of images or of a model of texts."""

    images: Images | None = None
    texts: Texts | None = None
    output: Name | None = None
    """The graph's output that holds the features; by default its only one."""
    pooling: Literal["none", "mean", "first"] = "none"
    """How an output with a vector for each token or place becomes one vector."""
    unit_length: bool = False
    """Whether the vector is then divided by its length."""

    def __post_init__(self):
        if (self.images is None) == (self.texts is None):
            raise ValueError("it declares either images or texts")

    def digest(self, folder: Path) -> str:
        """SHA-256 of the declaration and of the tokenizer in `folder`. Spaces, the order of fields
        and spelled-out defaults do not change it. Raises `UserError` where a file is missing."""
        sha = hashlib.sha256(msgspec.json.encode(self))
        if self.texts is not None:
            path = folder / self.texts.tokenizer
            try:
                sha.update(path.read_bytes())
            except OSError as error:
                raise UserError(
                    f"cannot read the tokenizer {path} ({error.strerror}): put it beside the model"
                ) from None
        return sha.hexdigest()


def read_declaration(model: Path) -> Declaration:
    """Read the JSON file beside a model: of the same name, with the suffix .json.

    Raises `UserError` that names the file and the field where it is missing or wrong.

    >>> read_declaration(Path("model.onnx")).images.size
    224
    """
    path = model.with_suffix(".json")
    try:
        return parsed(path.read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"there is no file {path}: it has to say what {model.name} takes (docs/embeddings.md)"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path}: {error} (docs/embeddings.md has all fields)") from None


def parsed(content: bytes) -> Declaration:
    """Read a declaration. Raises `ValueError` that names the field.

    >>> parsed(b'{"images": {"sise": 224}}')
    Traceback (most recent call last):
    builtins.ValueError: images: Object contains unknown field `sise`
    """
    try:
        return msgspec.json.decode(content, type=Declaration)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what, _, where = str(error).partition(" - at `$")
        field = re.sub(r"^\.|`$", "", where)
        raise ValueError(f"{field}: {what}" if field else what) from None


def image_input(
    pixels: UInt8[np.ndarray, "height width channels"], declared: Images
) -> Float[np.ndarray, "..."]:
    """One picture as the model takes it, float32 of shape `declared.shape`:
    (low + (high - low) pixel / 255 - mean) / deviation.

    Raises `ValueError` for a picture that is too long for a crop.
    """
    square = _square(pixels, declared).astype(np.float32)
    if declared.colours == "BGR":
        square = square[..., ::-1]
    low, high = declared.range
    mean, deviation = (np.array(of, np.float32) for of in (declared.mean, declared.deviation))
    x = (np.float32(low) + square * np.float32((high - low) / 255) - mean) / deviation
    return np.ascontiguousarray(x.transpose(2, 0, 1) if declared.layout == "NCHW" else x)


def _square(pixels: np.ndarray, declared: Images) -> np.ndarray:
    """(height, width, channels) → (size, size, channels), uint8."""
    size, channels = declared.size, declared.channels
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
    image = image.convert("RGB" if channels == 3 else "L")
    resampling = Image.Resampling[declared.resampling.upper()]
    if declared.fit == "pad":
        pixels = np.asarray(image).reshape(image.height, image.width, channels)
        return padded(pixels, ground(pixels).astype(np.uint8), size, resampling)
    if declared.fit == "stretch":
        image = image.resize((size, size), resampling)
    else:
        scale = (declared.resize or size) / min(image.size)
        width, height = (round(length * scale) for length in image.size)
        if max(width, height) > LONGEST * size:
            raise ValueError(f'{image.width} × {image.height} is too long for fit "crop"')
        image = image.resize((width, height), resampling)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.crop((left, top, left + size, top + size))
    return np.asarray(image).reshape(size, size, channels)
