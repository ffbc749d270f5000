"""What an adapted learner says of files: of a few at once, or of many, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quickstudy.compilation import enable_compilation_cache
from quickstudy.data.inputs import Inputs
from quickstudy.datasets.ahead import ahead
from quickstudy.errors import UserError
from quickstudy.progress import progress
from quickstudy.serving.adapted import AT_LEAST, AT_ONCE, Adapted
from quickstudy.serving.adapted_file import load
from quickstudy.serving.inputs import files_in, read_queries

Read = tuple[list[str], np.ndarray]
"""The names of inputs, and the inputs."""


@dataclass(frozen=True)
class Prediction:
    """What is said of one input."""

    input: str
    """Its path, or its file and row."""
    name: str
    """The most probable class; `unknown` where the input is of none."""
    probability: float
    """Of the most probable class, if it is of one of the classes."""
    probabilities: dict[str, float]
    """Of every class, by name."""
    unknown: bool = False
    score: float | None = None
    """The share of known inputs that look no more familiar; None where that is not known."""
    threshold: float | None = None
    nearest: tuple[dict[str, str], ...] = ()
    """The support examples that are nearest, and their classes."""


@dataclass(frozen=True)
class Unread:
    """A file that could not be read."""

    input: str
    """Its path."""
    error: str
    """Why."""


def predict(path: Path, inputs: Sequence[Path], *, embed: Path | None = None) -> list[Prediction]:
    """What the adapted learner in the file `path` says of images, folders of images, .npz files
    with x, or tables; in the order given. `embed` says where the model of its features is now, if
    it has moved.

    Raises `UserError` where one of them cannot be read or does not fit.

    >>> predict(Path("symbols.qs"), [Path("image.png")])[0].name
    'beta'
    """
    adapted = load(path)
    names, x = read_queries(adapted.inputs.with_model(embed), inputs)
    adapted.warn_if_transductive()
    enable_compilation_cache(AT_LEAST)
    return predictions(adapted, names, x)


def predict_each(
    adapted: Adapted, inputs: Sequence[Path], *, embed: Path | None = None
) -> Iterator[Prediction | Unread]:
    """`predict` many files: they are read in threads, a few batches ahead, so that the memory
    taken does not depend on their number. A file that cannot be read, or a folder without
    files, is told as such in its place. Shows progress with the time to go.

    Raises `UserError` where the model of its features cannot be read, each prediction depends on
    the others, or dark or light ink would have to be decided from all pictures.
    """
    if adapted.transductive:
        raise UserError(
            f"{adapted.inputs.learner} is transductive: each prediction depends on the others, so "
            "many cannot be made in parts: leave out --out"
        )
    taken = adapted.inputs.with_model(embed)
    if taken.ink == "auto":
        raise UserError(
            f"{taken.learner} does not say what is ink in its pictures (an older quickstudy wrote "
            "it): make it again with quickstudy adapt"
        )
    taken.model()  # a model that is missing is no fault of any file
    enable_compilation_cache(AT_LEAST)
    files = [file for path in inputs for file in files_in(taken, path) or [path]]
    groups = [files[start : start + AT_ONCE] for start in range(0, len(files), AT_ONCE)]
    threads, done = os.cpu_count() or 1, 0
    rounds = (groups[start : start + threads] for start in range(0, len(groups), threads))
    with (
        ThreadPoolExecutor(threads) as pool,
        progress("predicting", len(files), show=len(groups) > 1) as reporter,
    ):
        for several in ahead(pool, lambda group: read_each(taken, group), rounds):
            for found in several:
                for part in found:
                    yield from [part] if isinstance(part, Unread) else predictions(adapted, *part)
            done += threads * AT_ONCE
            reporter.at(min(done, len(files)))


def read_each(inputs: Inputs, files: Sequence[Path]) -> list[Read | Unread]:
    """Read files together; where one of them cannot be read, each by itself."""
    try:
        return [read_queries(inputs, files)]
    except UserError as error:
        if len(files) == 1:
            return [Unread(str(files[0]), str(error))]
    return [part for file in files for part in read_each(inputs, [file])]


def predictions(adapted: Adapted, names: Sequence[str], x: np.ndarray) -> list[Prediction]:
    """What an adapted learner says of inputs as it takes them, which have these names."""
    return [_prediction(adapted, *each) for each in zip(names, *adapted.answers(x), strict=True)]


def _prediction(
    adapted: Adapted, name: str, p: np.ndarray, score: float, nearest: np.ndarray
) -> Prediction:
    k, classes = int(np.argmax(p)), np.repeat(adapted.names, adapted.counts)
    unknown = bool(score <= adapted.false_alarms)
    return Prediction(
        name,
        "unknown" if unknown else adapted.names[k],
        float(p[k]),
        dict(zip(adapted.names, map(float, p), strict=True)),
        unknown,
        None if np.isnan(score) else float(score),
        None if adapted.known is None else adapted.false_alarms,
        tuple({"example": adapted.examples[i], "class": str(classes[i])} for i in nearest),
    )
