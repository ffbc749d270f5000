"""Files on disk -> the arrays that a run's learner was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from quickstudy.data.inputs import Inputs
from quickstudy.datasets import arrays, folder, table, texts
from quickstudy.datasets.embedding import embedded
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.images import ImageFormat, decided, read_image
from quickstudy.errors import UserError
from quickstudy.terminal import warn

TABLES = (".csv", ".parquet")


def read_support(inputs: Inputs, path: Path) -> tuple[Grouped, Inputs]:
    """Read a labelled set: a folder with a sub-folder for each class, an .npz with x and y, or a
    table with a label column. Its x are real numbers, or the tokens of texts, as the learner takes
    them. The inputs that it gives are those of the run and what the set adds: what is ink, the
    names of columns.

    Raises `UserError` where it cannot be read, or does not fit the run.

    >>> read_support(settings.tasks.inputs, Path("new_symbols"))[0].names
    ('alpha', 'beta', 'gamma')
    """
    if takes_texts(inputs, path):
        read = texts.load(path, inputs.text_column, inputs.label_column)
    elif path.suffix in TABLES:
        read = table.load(path, inputs.label_column, inputs.encoding)
    elif path.suffix == ".npz":
        read = arrays.load(path)
    elif (model := inputs.model()) is not None:
        read = folder.embedded(path, model)
    else:
        read = folder.load(path, image_format(inputs, path))
    if read.embedding is None and (model := inputs.model_for(read.x)) is not None:
        read = embedded(read, model)
    inputs.require_model(str(path), read.embedding)
    x = as_numbers(inputs.brought(str(path), read.x, read.columns))
    if read.ink is not None:
        inputs = replace(inputs, ink=read.ink.colour)
    if inputs.columns is None and read.columns is not None:
        inputs = replace(inputs, columns=tuple(column.name for column in read.columns))
    return replace(read, x=x), inputs


def example_names(inputs: Inputs, path: Path, read: Grouped) -> tuple[str, ...]:
    """Name each example of a set that was read from `path`: by its file, or by its row."""
    assert read.rows is not None
    if path.is_dir():
        kind = texts.text_files if takes_texts(inputs, path) else folder.image_files
        files = folder.files_in_order(path, kind)
        return tuple(files[row] for row in read.rows)
    return tuple(f"{path}, row {row}" for row in read.rows)


def read_queries(
    inputs: Inputs, paths: Sequence[Path]
) -> tuple[list[str], Shaped[np.ndarray, "n ..."]]:
    """Read inputs without labels, and a name for each: files of images or of text, folders of
    them (named by their paths), .npz files with x, and tables (named by their rows).

    Raises `UserError` as `read_support` does.
    """
    names: list[str] = []
    parts = [np.empty((0, *inputs.shape), np.float32 if inputs.tokenizer is None else np.int32)]
    for path in paths:
        columns, embedding = None, inputs.embedding
        if takes_texts(inputs, path):
            found, x = texts.read(path, inputs.text_column)
            if (model := inputs.model_for(x)) is not None:
                x = model.of_texts(x)
        elif path.suffix in TABLES:
            rows = table.read(path, inputs.label_column, like=inputs.encoding)
            columns, x, embedding = rows.columns, rows.x, None
            found = [f"{path}, row {number}" for number in rows.numbers]
        elif path.suffix == ".npz":
            (x,) = arrays.read_npz(path, ("x",))
            x = x[..., None] if x.ndim == 3 and x.dtype == np.uint8 else x
            found = [f"{path}, row {row}" for row in range(len(x) if x.ndim else 0)]
            if found and (model := inputs.model_for(x)) is not None:
                x = model.of_pictures(x)
            else:
                embedding = arrays.embedding_of(path)
        elif (model := inputs.model()) is not None:
            files = files_in(inputs, path)
            x, found = model.of_files(files), [str(file) for file in files]
        else:
            files, format = files_in(inputs, path), image_format(inputs, path)
            if inputs.ink == "auto":
                format, ink = decided(format, files)
                warn(f"{path} is read as {ink}: the file does not say how its support set was")
            x = np.array([read_image(file, format) for file in files])
            found = [str(file) for file in files]
        if not found:
            raise UserError(f"{path} holds nothing to predict")
        names += found
        inputs.require_model(str(path), embedding)
        parts.append(as_numbers(inputs.brought(str(path), x, columns)))
    return names, np.concatenate(parts)


def files_in(inputs: Inputs, path: Path) -> list[Path]:
    """The files of a folder that the learner takes, at all depths; or the file itself."""
    if not path.is_dir():
        return [path]
    return (texts.text_files if takes_texts(inputs, path) else folder.image_files)(path)


def takes_texts(inputs: Inputs, path: Path) -> bool:
    """Whether `path` holds texts, for a tokenizer or for a model of texts, and not features."""
    if inputs.tokenizer is not None:
        return True
    if path.suffix == ".npz":
        return False
    return (model := inputs.model()) is not None and model.takes_texts


def image_format(inputs: Inputs, path: Path) -> ImageFormat:
    """What pictures become for the learner; `path` names them in messages. Raises `UserError` where
    it takes no pictures."""
    if len(inputs.shape) != 3:
        raise UserError(
            f"{path}: the learner takes {inputs.words}, not pictures: give it a .csv, .parquet "
            "or .npz file"
        )
    height, width, channels = inputs.shape
    if height != width or channels not in (1, 3):
        raise UserError(f"{path}: the learner takes {inputs.words}: give it an .npz file")
    return ImageFormat(height, channels, inputs.ink)


def as_numbers(x: np.ndarray) -> np.ndarray:
    """Bytes of pictures as numbers from 0 to 1; other numbers as they are."""
    return x.astype(np.float32) / 255 if x.dtype == np.uint8 else x
