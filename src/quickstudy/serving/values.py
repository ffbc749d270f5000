"""Values of a Python program -> the arrays that a run's learner was trained on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from quickstudy.data.inputs import Inputs
from quickstudy.datasets import table, texts
from quickstudy.datasets.images import ImageFormat, pixels_of, squared
from quickstudy.errors import UserError
from quickstudy.serving.frames import cells_of
from quickstudy.serving.inputs import as_numbers, image_format, read_queries, takes_texts
from quickstudy.terminal import warn


def read_values(inputs: Inputs, X: Any) -> Shaped[np.ndarray, "n ..."]:
    """Bring inputs to the form that the learner takes. `X` is one of

    * an array (n, ...) of numbers, as an .npz file holds them: uint8 (n, height, width[, channels])
      are pictures of bytes;
    * a path or a list of paths: what `quickstudy predict` takes;
    * a Pillow image or a list of them;
    * for a learner of texts, a text or a list of texts; a path is a `Path` there, and no string;
    * for a learner of a table, a data frame, a list of mappings (column name → cell), or rows whose
      cells stand in the order of the columns of the training.

    Raises `UserError` where they cannot be read or do not fit.

    >>> read_values(Inputs((2, 2, 1)), np.full((5, 2, 2), 255, np.uint8)).shape
    (5, 2, 2, 1)
    """
    of_texts = takes_texts(inputs, Path("X"))
    if isinstance(X, str | Path | Image.Image):
        X = [X]
    if (cells := table_of(inputs, X)) is not None:
        if of_texts:
            return _of_texts(inputs, texts.of_cells("X", cells, inputs.text_column))
        rows = table.rows_of("X", cells, inputs.label_column, like=inputs.encoding)
        return as_numbers(inputs.brought("X", rows.x, rows.columns))
    items = list(X) if isinstance(X, list | tuple) or np.ndim(X) == 1 else []
    if items and all(isinstance(item, Image.Image) for item in items):
        return _of_pictures(inputs, items)
    if items and of_texts and all(isinstance(item, str) for item in items):
        _require_no_names(items)
        return _of_texts(
            inputs, texts.strings([texts.text(f"X, {i}", t) for i, t in enumerate(items)])
        )
    if items and all(isinstance(item, str | Path) for item in items):
        return read_queries(inputs, [Path(item) for item in items])[1]
    try:
        x = np.asarray(X)
    except ValueError:
        raise UserError("X has rows of different lengths: give all inputs the same shape") from None
    return _of_array(inputs, x)


def table_of(inputs: Inputs, X: Any) -> table.Cells | None:
    """The cells of a data frame, of a list of mappings, or of rows for a learner of a table; None
    where `X` is something else. Raises `UserError` where it is one value and no collection."""
    if not hasattr(X, "__len__") or isinstance(X, Mapping) or getattr(X, "shape", None) == ():
        raise UserError(f"X is a single {type(X).__name__}: give it a list or an array of inputs")
    if (found := cells_of(X)) is not None:
        return found
    if isinstance(X, Sequence) and len(X) and all(isinstance(row, Mapping) for row in X):
        names = dict.fromkeys(name for row in X for name in row)
        return table.Cells({n: [row.get(n) for row in X] for n in names}, range(len(X)))
    if inputs.encoding is None or not len(X) or not _is_row(next(iter(X))):
        return None
    names = [column.name for column in inputs.encoding.columns]
    cells = [len(row) if _is_row(row) else 1 for row in X]
    if wrong := set(cells) - {len(names)}:
        raise UserError(
            f"X has rows of {min(wrong)} cells, and {inputs.learner} takes {', '.join(names)}: "
            "give it these, or a data frame with these columns"
        )
    return table.Cells({n: [row[i] for row in X] for i, n in enumerate(names)}, range(len(X)))


def _require_no_names(items: Sequence[str]) -> None:
    """Raise `UserError` where a text of one word is the name of a file or folder."""
    for i, item in enumerate(items):
        if item and not any(map(str.isspace, item)) and os.path.exists(item):
            raise UserError(
                f"X[{i}] is the name of a file: give Path({item!r}) to read it (or the same with a "
                "space behind it, if that word is the text)"
            )


def _is_row(item: Any) -> bool:
    return isinstance(item, list | tuple) or np.ndim(item) == 1


def _of_texts(inputs: Inputs, found: np.ndarray) -> np.ndarray:
    model = inputs.model()
    return inputs.brought("X", found if model is None else model.of_texts(list(found)))


def _of_pictures(inputs: Inputs, pictures: Sequence[Image.Image]) -> np.ndarray:
    """Pictures as Pillow has them."""
    if (model := inputs.model()) is not None:
        channels = model.images.channels
        x = model.of_pictures([_pixels(i, one, channels) for i, one in enumerate(pictures)])
        return as_numbers(inputs.brought("X", x))
    format: ImageFormat = image_format(inputs, Path("X"))
    if format.ink == "auto":
        raise UserError(
            f"{inputs.learner} does not say what is ink in its pictures (an older quickstudy wrote "
            "it): give paths, or make it again with quickstudy adapt"
        )
    x = [
        squared(f"X[{i}]", _pixels(i, one, format.channels), format)
        for i, one in enumerate(pictures)
    ]
    return as_numbers(inputs.brought("X", np.array(x)))


def _pixels(number: int, picture: Image.Image, channels: int) -> np.ndarray:
    try:
        return pixels_of(picture, channels)
    except Exception as error:  # Pillow's decoders raise whatever they like
        raise UserError(f"cannot read the picture X[{number}] ({error})") from None


def _of_array(inputs: Inputs, x: np.ndarray) -> np.ndarray:
    """Numbers, as an .npz file holds them."""
    if x.ndim == 0 or not len(x):
        raise UserError("X holds nothing: give it one input at least")
    if x.dtype == np.uint8 and inputs.ink == "dark":
        warn(
            "X holds bytes, which are taken as they are; ink is dark in the pictures of "
            f"{inputs.learner}, so its files are inverted: give 255 - X if ink is dark in X too"
        )
    x = x[..., None] if x.ndim == 3 and x.dtype == np.uint8 else x
    if x.dtype == object and inputs.tokenizer is None:
        raise UserError(f"X holds no numbers; {inputs.learner} takes {inputs.words}")
    if (model := inputs.model_for(x)) is not None:
        x = model.of_pictures(x)
    else:
        inputs.require_model("X", None)
    return as_numbers(inputs.brought("X", x))
