"""Files on disk -> the arrays that a run's learner was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from quickstudy.datasets import arrays, folder, table
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.images import ImageFormat, read_image
from quickstudy.errors import UserError
from quickstudy.recipes.learner_settings import Problem, TokenShape
from quickstudy.recipes.settings import TaskSettings

TABLES = (".csv", ".parquet")


@dataclass(frozen=True)
class Inputs:
    """How a file becomes inputs. All fields are plain JSON values, kept beside the predictor.

    >>> Inputs.of(settings.tasks, problem, header).support(Path("new_symbols")).names
    ('alpha', 'beta', 'gamma')
    """

    shape: tuple[int, ...]
    """Of one input: (height, width, channels), or (features,)."""
    ink: bool = False
    """Whether pictures become strokes bright on dark: see `ImageFormat`."""
    unit_range: bool = False
    """Whether pixels are known to be between 0 and 1, as in all but an .npz of the user's."""
    label_column: str = "label"
    """The column of a table that holds the class; a table to predict need not have it."""
    columns: tuple[str, ...] | None = None
    """The features of a table, in order; None where they are not known."""
    mean: tuple[float, ...] | None = None
    """Of each feature over the training rows …"""
    deviation: tuple[float, ...] | None = None
    """… and what it was divided by; None where inputs go in as they are."""

    @staticmethod
    def of(tasks: TaskSettings, problem: Problem, header: dict[str, Any]) -> Inputs:
        """Those of a run. `header` is that of its learner: `scaling` in it has the `mean` and
        `deviation` that features were standardised with, and perhaps the names of the `columns`.
        """
        kind = tasks.tasks.partition(":")[0]
        drawn = kind in ("glyphs", "omniglot")
        scaling = header.get("scaling") or {}
        if isinstance(problem.shape, TokenShape):
            raise UserError("a learner of text adapts to no files: evaluate is what it is for")
        if len(problem.shape) == 1 and not scaling:
            raise UserError(
                "the run does not say how its features were scaled (an older quickstudy trained "
                "it): train it again"
            )
        return Inputs(
            shape=problem.shape,
            ink=drawn
            or (kind == "folder" and not tasks.color)
            or (kind == "packed" and problem.shape[-1] == 1),
            unit_range=drawn or kind in ("folder", "packed"),
            label_column=tasks.label_column,
            **{word: tuple(values) for word, values in scaling.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(found: dict[str, Any]) -> Inputs:
        """From plain JSON values."""
        values: dict[str, Any] = {
            word: tuple(value) if isinstance(value, list) else value
            for word, value in found.items()
        }
        return Inputs(**values)

    @property
    def words(self) -> str:
        """What the learner takes, for a message."""
        if len(self.shape) == 1:
            return f"{self.shape[0]} features"
        kind = "images" if len(self.shape) == 3 else "arrays"
        return f"{kind} of {_times(self.shape)}"

    def support(self, path: Path) -> Grouped:
        """A labelled set: a folder with a sub-folder for each class, an .npz with x and y, or a
        table with a label column. Its x are real numbers, as the learner takes them.

        Raises `UserError` where it cannot be read, or does not fit the run.
        """
        if path.suffix in TABLES:
            read = table.load(path, self.label_column)
            self._same_columns(path, _table(path, self.label_column)[0])
        elif path.suffix == ".npz":
            read = arrays.load(path)
        else:
            read = folder.load(path, self._image_format(path))
        return replace(read, x=self._fitted(path, read.x))

    def queries(self, paths: Sequence[Path]) -> tuple[list[str], Float[np.ndarray, "n ..."]]:
        """Inputs without labels, and a name for each: image files, folders of them (named by
        their paths), .npz files with x, and tables (named by their rows).

        Raises `UserError` as `support` does.
        """
        names: list[str] = []
        parts = [np.empty((0, *self.shape), np.float32)]
        for path in paths:
            if path.suffix in TABLES:
                columns, x, numbers = _table(path, self.label_column)
                self._same_columns(path, columns)
                found = [f"{path}, row {number}" for number in numbers]
            elif path.suffix == ".npz":
                (x,) = arrays.read_npz(path, ("x",))
                x = x[..., None] if x.ndim == 3 and x.dtype == np.uint8 else x
                found = [f"{path}, row {row}" for row in range(len(x) if x.ndim else 0)]
            else:
                files = folder.image_files(path) if path.is_dir() else [path]
                format = self._image_format(path)
                x = np.array([read_image(file, format) for file in files])
                found = [str(file) for file in files]
            if not found:
                raise UserError(f"{path} holds nothing to predict")
            names += found
            parts.append(self._fitted(path, x))
        return names, np.concatenate(parts)

    def names_columns(self, path: Path) -> Inputs:
        """With the columns of this table, if it is one."""
        if path.suffix not in TABLES:
            return self
        return replace(self, columns=_table(path, self.label_column)[0])

    def _image_format(self, path: Path) -> ImageFormat:
        if len(self.shape) != 3:
            raise UserError(
                f"{path}: the learner takes {self.words}, not pictures: give it a .csv, .parquet "
                "or .npz file"
            )
        height, width, channels = self.shape
        if height != width or channels not in (1, 3):
            raise UserError(f"{path}: the learner takes {self.words}: give it an .npz file")
        return ImageFormat(height, channels, self.ink)

    def _same_columns(self, path: Path, found: tuple[str, ...]) -> None:
        if self.columns is not None and found != self.columns:
            raise UserError(
                f"{path} has the features {', '.join(found)}; the learner takes "
                f"{', '.join(self.columns)}, in this order"
            )

    def _fitted(self, path: Path, x: np.ndarray) -> Float[np.ndarray, "n ..."]:
        """Inputs as in training. Raises `UserError` where they do not fit."""
        if x.dtype.kind not in "biuf":
            raise UserError(f"{path}: x holds {x.dtype}; it must hold real numbers")
        if x.shape[1:] != self.shape:
            raise UserError(
                f"{path} holds inputs of {_times(x.shape[1:])}; the learner takes {self.words}"
            )
        if x.dtype == np.uint8 and x.ndim > 2:
            return x.astype(np.float32) / 255
        x = x.astype(np.float32)
        if not np.isfinite(x).all():
            raise UserError(f"{path} holds a value that is NaN or infinite: leave that row out")
        if self.unit_range and not (x.min() >= 0 and x.max() <= 1):
            raise UserError(
                f"{path}: its pixels go from {x.min():g} to {x.max():g}, the learner's from 0 to "
                "1: save bytes (uint8), or scale them"
            )
        if self.mean is None or self.deviation is None:
            return x
        return ((x - np.array(self.mean)) / np.array(self.deviation)).astype(np.float32)


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "one number"


def _table(path: Path, label_column: str) -> tuple[tuple[str, ...], np.ndarray, Sequence[int]]:
    """The names of a table's features, the features (N, features), and the rows' numbers; the
    label column need not be there."""
    if not path.is_file():
        raise UserError(f"there is no file {path}: check its path")
    read = table._read_parquet if path.suffix == ".parquet" else table._read_csv
    header, cells, rows = read(path)
    columns = {k: v for k, v in zip(header, cells, strict=True) if k != label_column}
    features = [table._numbers(path, name, column, rows) for name, column in columns.items()]
    return tuple(columns), np.stack(features, axis=1), rows
