"""Inputs as requests bring them -> the arrays that a learner takes.

Pictures are files within the request, in base64 or as they are, or strokes. Nothing in a request is
a path, nothing is unpickled, and pictures are opened by six decoders alone, after their size is
known.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
import numpy as np
from PIL import Image

from quickstudy.data.inputs import Inputs
from quickstudy.datasets import texts
from quickstudy.datasets.images import ImageFormat, ground, pixels_of, squared
from quickstudy.datasets.table import Cells, rows_of
from quickstudy.errors import UserError
from quickstudy.serving.server.limits import Limits
from quickstudy.serving.server.schemas import Strokes, Takes
from quickstudy.serving.server.strokes import drawn

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
DATA_URL = re.compile(r"data:[\w.+/-]*;base64,", re.ASCII)


class BadInput(UserError):
    """An input that is not what the learner takes: `which` one, where that is known."""

    def __init__(self, message: str, which: str | None = None):
        super().__init__(message)
        self.which = which


class TooMuch(UserError):
    """More than a limit allows."""


@dataclass(frozen=True)
class Item:
    """An input of a request."""

    name: str
    """Of its file, or its place in the request."""
    value: Any
    """The bytes of a file, or a value of JSON."""


def kind_of(inputs: Inputs) -> Literal["pictures", "numbers", "texts"]:
    """What inputs a learner takes."""
    if inputs.tokenizer is not None:
        return "texts"
    if (model := inputs.model()) is not None:
        return "texts" if model.declared.texts is not None else "pictures"
    square = len(inputs.shape) == 3 and inputs.shape[0] == inputs.shape[1]
    return "pictures" if square and inputs.shape[2] in (1, 3) else "numbers"


def takes(inputs: Inputs) -> Takes:
    """Describe the inputs that a learner takes."""
    return Takes(
        kind_of(inputs), inputs.words, list(inputs.shape), inputs.ink is not None, columns(inputs)
    )


def columns(inputs: Inputs) -> list[str] | None:
    """The names of the cells of a row, where they have names."""
    if inputs.encoding is not None:
        return [column.name for column in inputs.encoding.columns]
    return None if inputs.columns is None else list(inputs.columns)


def read(inputs: Inputs, items: Sequence[Item], limits: Limits) -> np.ndarray:
    """Read inputs as the learner was trained on them: real numbers, or tokens.

    Raises `BadInput` that names the input at fault, `TooMuch` beyond a limit.
    """
    if len(items) > limits.most_inputs:
        raise TooMuch(f"there are {len(items)} inputs: at most {limits.most_inputs} in a request")
    if not items:
        dtype = np.float32 if inputs.tokenizer is None else np.int32
        return np.empty((0, *inputs.shape), dtype)
    kind = kind_of(inputs)
    if kind == "texts":
        return _texts(inputs, items)
    if kind == "pictures":
        x = _pictures(inputs, items, limits)
        return x.astype(np.float32) / 255 if x.dtype == np.uint8 else x
    return _numbers(inputs, items)


def _texts(inputs: Inputs, items: Sequence[Item]) -> np.ndarray:
    for item in items:
        if not isinstance(item.value, str) or not item.value.strip() or "\0" in item.value:
            raise BadInput(f"input {item.name} is no text", item.name)
    if (model := inputs.model()) is not None:
        return _brought(inputs, model.of_texts([item.value for item in items]))
    return _brought(inputs, texts.strings([item.value for item in items]))


def _pictures(inputs: Inputs, items: Sequence[Item], limits: Limits) -> np.ndarray:
    model, left, made = inputs.model(), limits.most_pixels, []
    for item in items:
        try:
            if isinstance(item.value, dict):
                made.append(_drawing(inputs, item.value))
                continue
            with Image.open(io.BytesIO(content(item.value)), formats=FORMATS) as file:
                left -= file.width * file.height
                if left < 0:
                    raise TooMuch(
                        f"the pictures have more than {limits.most_megapixels:g} million pixels: "
                        "shrink them, or send fewer at a time"
                    )
                if model is not None:
                    images = model.declared.images
                    made.append(pixels_of(file, images.channels if images else 3))
                else:
                    made.append(_squared(inputs, item.name, file))
        except TooMuch:
            raise
        except UserError as error:
            raise BadInput(str(error), item.name) from None
        except Exception as error:  # Pillow's decoders raise whatever they like
            said = "it is none" if isinstance(error, Image.UnidentifiedImageError) else error
            raise BadInput(
                f"input {item.name} cannot be read as a picture ({said})", item.name
            ) from None
    return _brought(inputs, model.of_pictures(made) if model else np.array(made))


def content(value: Any) -> bytes:
    """The bytes of a file, which may be in base64. Raises `ValueError` where they are not."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("give a string of base64")
    text = value[found.end() :] if (found := DATA_URL.match(value)) else value
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64") from None


def _squared(inputs: Inputs, name: str, file: Image.Image) -> np.ndarray:
    """An open picture as the learner's are; of ink that is not decided, by its own border."""
    size, _, channels = inputs.shape
    pixels, ink = pixels_of(file, channels), inputs.ink
    if ink == "auto":
        ink = "dark" if ground(pixels)[0] > 127 else "light"
    return squared(f"input {name}", pixels, ImageFormat(size, channels, ink))


def _drawing(inputs: Inputs, value: dict[str, Any]) -> np.ndarray:
    if inputs.ink is None:
        raise ValueError(f"strokes are for learners of ink; this one takes {inputs.words}")
    return drawn(msgspec.convert(value, Strokes).strokes, inputs.shape[0])


def _numbers(inputs: Inputs, items: Sequence[Item]) -> np.ndarray:
    names = columns(inputs)
    lists = all(isinstance(item.value, list) for item in items)
    if names is not None and inputs.encoding is not None and lists:
        items = [replace(item, value=_by_name(item, names)) for item in items]
    if any(isinstance(item.value, dict) for item in items):
        return _rows(inputs, items, names)
    for item in items:
        try:
            if not isinstance(item.value, list) or not _all_numbers(item.value):
                raise BadInput(f"input {item.name} is no list of numbers", item.name)
            shape = _shape(item.value)
        except RecursionError:
            raise BadInput(f"input {item.name} has lists in lists, too deep", item.name) from None
        if shape != tuple(inputs.shape):
            said = "a list of lists of unequal length" if shape is None else f"of shape {shape}"
            raise BadInput(
                f"input {item.name} is {said}; the learner takes {inputs.words}", item.name
            )
    x = np.array([item.value for item in items], float)
    for item, row in zip(items, x, strict=True):
        if not np.isfinite(row).all():
            raise BadInput(f"input {item.name} has a number that is not finite", item.name)
    return _brought(inputs, x)


def _rows(inputs: Inputs, items: Sequence[Item], names: list[str] | None) -> np.ndarray:
    """Rows whose cells have names."""
    if names is None:
        raise BadInput("the features have no names: give lists of numbers", items[0].name)
    for item in items:
        if not isinstance(item.value, dict) or set(item.value) != set(items[0].value):
            raise BadInput(
                f"input {item.name} has other cells than input {items[0].name}", item.name
            )
        for name, cell in item.value.items():
            if isinstance(cell, bool) or not isinstance(cell, str | int | float | None):
                raise BadInput(
                    f"input {item.name}, {name!r}: a cell is a number, a string or null", item.name
                )
    cells: dict[str, Sequence] = {
        name: [_cell(item.value[name]) for item in items]
        for name in items[0].value
        if name != inputs.label_column
    }
    table = Cells(cells, range(1, len(items) + 1))
    try:
        rows = rows_of("the request", table, inputs.label_column, like=inputs.encoding)
    except UserError as error:
        raise BadInput(str(error)) from None
    return _brought(inputs, rows.x, rows.columns)


def _cell(value: Any) -> Any:
    """A cell as tables have it: text, or a number."""
    return "" if value is None else str(value) if isinstance(value, int) else value


def _by_name(item: Item, names: list[str]) -> dict[str, Any]:
    if len(item.value) != len(names):
        raise BadInput(
            f"input {item.name} has {len(item.value)} cells; the learner takes {len(names)}: "
            f"{', '.join(names)}",
            item.name,
        )
    return dict(zip(names, item.value, strict=True))


def _all_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_all_numbers, value))
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _shape(value: Any) -> tuple[int, ...] | None:
    """The shape of nested lists; None where they are of unequal length."""
    if not isinstance(value, list):
        return ()
    shapes = {_shape(one) for one in value}
    if len(shapes) != 1 or (shape := shapes.pop()) is None:
        return (0,) if not value else None
    return (len(value), *shape)


def _brought(inputs: Inputs, x: np.ndarray, named: Any = None) -> np.ndarray:
    try:
        return inputs.brought("the request", x, named)
    except UserError as error:
        raise BadInput(str(error)) from None
