"""What inputs a learner was trained on, and how others are brought to them.

Written once for all commands: `adapt` and `predict` bring files to it, `evaluate`, `compare`,
`search` and `report` bring tasks to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quickstudy.datasets.columns import Column, in_order
from quickstudy.datasets.embedding_file import EmbeddingFile
from quickstudy.datasets.encoding import Encoding, only_numbers
from quickstudy.datasets.grouped import Scaling
from quickstudy.datasets.tokens import Tokenizer, cut_words
from quickstudy.errors import UserError
from quickstudy.terminal import say_once, warn

if TYPE_CHECKING:
    from quickstudy.datasets.embedding import EmbeddingModel

FAR = 3.0
"""How many widths of the training range inputs may lie beyond it without a warning."""

NARROW = 0.05
"""The share of the training range below which pictures have a warning."""


class TokenShape(tuple[int, ...]):
    """The shape of one input that is tokens, integers below `vocabulary`, and not numbers."""

    vocabulary: int
    idf: tuple[float, ...] | None
    """Of texts: how rare each token is (`datasets.tokens`), and token 0 stands beyond their ends.
    None where tokens are something else: words around a blank, say."""

    def __new__(cls, shape: Iterable[int], vocabulary: int, idf: tuple[float, ...] | None = None):
        made = super().__new__(cls, shape)
        made.vocabulary = vocabulary
        made.idf = idf
        return made


@dataclass(frozen=True)
class Inputs:
    """The inputs of a training. All fields are plain JSON values, kept with the run.

    >>> Inputs((5,)).words
    '5 features'
    """

    shape: tuple[int, ...]
    """Of one input: (height, width, channels), or (features,)."""
    ink: Literal["auto", "dark", "light"] | None = None
    """What is ink in files of pictures: see `ImageFormat`. "auto" where the run has not decided."""
    unit_range: bool = False
    """Whether they are pictures of bytes, which go in as numbers from 0 to 1."""
    label_column: str = "label"
    """The column of a table that holds the class; a table to predict need not have it."""
    columns: tuple[str, ...] | None = None
    """The names of features, in order; None where they are not known."""
    mean: tuple[float, ...] | None = None
    """Of each feature over the training rows …"""
    deviation: tuple[float, ...] | None = None
    """… and what it was divided by; None where inputs go in as they are."""
    low: float | None = None
    """The smallest number that went in …"""
    high: float | None = None
    """… and the largest; None where they are not known."""
    embedding: EmbeddingFile | None = None
    """The model whose features they are; None where they come as they are."""
    text_column: str = "text"
    """The column of a table that holds the texts."""
    tokenizer: Tokenizer | None = None
    """What makes tokens of texts; None where inputs are no texts."""
    target: str | None = None
    """The column of a table that holds real targets; None where targets are classes."""
    target_mean: float = 0.0
    """Of the targets of the training tasks …"""
    target_deviation: float = 1.0
    """… and what they were divided by."""
    time_column: str | None = None
    """The column of a table that holds the time of a row, counted from the first row of a task."""
    encoding: Encoding | None = None
    """How the columns of a table become features; None where they are all numbers."""
    learner: str = field(default="the learner", compare=False)
    """Whose they are, for messages; kept nowhere."""

    @property
    def of_any_learner(self) -> Inputs:
        """The same inputs without what each training decides for itself: features are not scaled,
        what is ink is decided from the images at hand, and no range is expected."""
        plain = Inputs.unscaled(self.shape) if self.mean is not None else Inputs(self.shape)
        return dataclasses.replace(
            plain,
            ink=self.ink and "auto",
            unit_range=self.unit_range,
            label_column=self.label_column,
            text_column=self.text_column,
            tokenizer=self.tokenizer,
            columns=self.columns,
            embedding=self.embedding,
            target=self.target,
            time_column=self.time_column,
            encoding=self.encoding,
        )

    def with_model(self, path: str | Path | None) -> Inputs:
        """The same, with the model of features at `path`, if it is not None. Raises `UserError`
        where the inputs are no features of a model."""
        if path is None:
            return self
        if self.embedding is None:
            raise UserError(
                f"--embed {path}: {self.learner} was trained without a model: leave it out"
            )
        return dataclasses.replace(self, embedding=self.embedding.at(path))

    def model(self) -> EmbeddingModel | None:
        """Open the model whose features they are, if there is one. Raises `UserError` where it is
        missing, or is another one."""
        from quickstudy.datasets.embedding import open_model

        return self.embedding and open_model(self.embedding.path, self.embedding)

    def model_for(self, x: np.ndarray) -> EmbeddingModel | None:
        """Open the model for pictures or texts `x`; None for numbers, or without a model."""
        return self.model() if x.ndim > 2 or x.dtype == object else None

    @staticmethod
    def unscaled(shape: tuple[int, ...], encoding: Encoding | None = None) -> Inputs:
        """Features as they are in the data, or as an encoding of a table makes them.

        >>> Inputs.unscaled((2,)).mean, Inputs.unscaled((2,)).deviation
        ((0.0, 0.0), (1.0, 1.0))
        """
        (features,) = shape
        return Inputs(shape, mean=(0.0,) * features, deviation=(1.0,) * features, encoding=encoding)

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`."""
        values = dataclasses.asdict(self)
        del values["learner"]
        if self.embedding is None:  # as before there were models
            del values["embedding"]
        if self.target is None:  # as before there were targets
            for word in ("target", "target_mean", "target_deviation", "time_column"):
                del values[word]
        return values

    @staticmethod
    def from_json(found: dict[str, Any]) -> Inputs:
        """From plain JSON values. Those of an older quickstudy have True and False for `ink`."""
        values: dict[str, Any] = {
            word: tuple(value) if isinstance(value, list) else value
            for word, value in found.items()
        }
        if isinstance(values.get("ink"), bool):
            values["ink"] = "auto" if values["ink"] else None
        if values.get("embedding") is not None:
            values["embedding"] = EmbeddingFile(**values["embedding"])
        if values.get("tokenizer") is not None:
            values["tokenizer"] = Tokenizer.from_json(values["tokenizer"])
        values["encoding"] = Encoding.from_json(values.get("encoding"))
        return Inputs(**values)

    @property
    def words(self) -> str:
        """What the learner takes, for a message."""
        return words_of(self.shape) if self.tokenizer is None else "texts"

    @property
    def scaling(self) -> Scaling | None:
        """What features are standardised by."""
        if self.mean is None or self.deviation is None:
            return None
        return Scaling(np.array(self.mean), np.array(self.deviation))

    def standardised(self, y: np.ndarray) -> np.ndarray:
        """Targets (N, 1) as the learner was trained on them, float32."""
        return ((y - self.target_mean) / self.target_deviation).astype(np.float32)

    def require_shape(self, what: str, shape: tuple[int, ...]) -> None:
        """Raise `UserError` unless inputs have the shape that the learner takes."""
        if tuple(shape) != tuple(self.shape):
            raise UserError(f"{self.learner} takes {self.words}; {what} holds {words_of(shape)}")

    def require_model(self, what: str, found: EmbeddingFile | None) -> None:
        """Raise `UserError` unless features come from the model that the learner was trained with,
        where it was trained with one."""
        if self.embedding is None or (found is not None and found.same_model(self.embedding)):
            return
        raise UserError(
            f"{what} holds features of {'another' if found else 'an unknown'} model; "
            f"{self.learner} takes those of {self.embedding.path}: give it pictures or texts, or "
            "features that quickstudy data … --embed has made"
        )

    def require_units(self, what: str) -> None:
        """Raise `UserError` where pictures of bytes, numbers from 0 to 1, are not in the units of
        the training."""
        if self.low is not None and self.high is not None and not 0 <= self.low <= self.high <= 1:
            raise UserError(
                f"{what} holds bytes, which are read as numbers from 0 to 1; {self.learner} was "
                f"trained on real numbers from {self.low:g} to {self.high:g}: save them in its "
                "units, as float32"
            )

    def brought(
        self, what: str, x: np.ndarray, columns: Sequence[Column] | None = None
    ) -> np.ndarray:
        """Inputs (N, ...) as the learner was trained on them: float32; the columns of a table in
        its order, encoded and standardised; bytes of pictures stay as they are. `what` names them
        in messages.

        Texts, an object array (N,) of strings, become tokens (N, length). Raises `UserError` where
        inputs do not fit; warns where they are far from the training range, or texts are cut.
        """
        if (x.dtype == object) != (self.tokenizer is not None):
            found = "texts" if x.dtype == object else words_of(x.shape[1:])
            raise UserError(f"{self.learner} takes {self.words}; {what} holds {found}")
        if self.tokenizer is not None:
            x, cut = self.tokenizer.tokens(x)
            if cut:
                say_once(f"{what}: {cut_words(cut, len(x), self.tokenizer.length)}")
            return x
        if x.dtype.kind not in "biuf":
            raise UserError(f"{what}: x holds {x.dtype}; it must hold real numbers")
        if columns is not None:
            x = self._features(what, x, columns)
        self.require_shape(what, x.shape[1:])
        if x.dtype == np.uint8 and x.ndim > 2:
            self.require_units(what)
            return x
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)
        if not np.isfinite(x).all():
            raise UserError(f"{what} holds a value that is NaN or infinite: leave that row out")
        if self.unit_range and x.size and not (x.min() >= 0 and x.max() <= 1):
            raise UserError(
                f"{what}: its pixels go from {x.min():g} to {x.max():g}; {self.learner} was "
                "trained on pixels from 0 to 1: save bytes (uint8), or scale them"
            )
        by = self.scaling
        x = x if by is None else by(x)
        self._warn_if_far(what, x)
        return x

    def _features(self, what: str, x: np.ndarray, columns: Sequence[Column]) -> np.ndarray:
        """The features of the columns of a table. Raises `UserError` where they are others than in
        training."""
        encoding, wanted = self.encoding, self.columns
        if encoding is not None:
            used = [one.name not in encoding.left_out for one in columns]
            columns, x = [*compress(columns, used)], x[:, used]
            wanted = [column.name for column in encoding.columns]
        if wanted is not None:
            order = in_order(what, [one.name for one in columns], wanted, self.learner)
            columns, x = [columns[i] for i in order], x[:, order]
        if encoding is None:
            return only_numbers(what, columns, x, self.mean, self.learner)
        return encoding(what, columns, x)

    def _warn_if_far(self, what: str, x: np.ndarray) -> None:
        """Warn where the range of `x` is far from that of the training."""
        if self.low is None or self.high is None or not x.size:
            return
        width = self.high - self.low
        each = x.reshape(len(x), -1)
        beyond = np.maximum(each.max(0) - self.high, self.low - each.min(0))
        worst = int(np.argmax(beyond))
        if width > 0 and beyond[worst] > FAR * width:
            column = self.columns[worst] if self.columns else f"number {worst + 1} of each input"
            warn(
                f"{what}: {column} lies up to {beyond[worst] / width:.3g} times the width of the "
                "training range beyond it: are the units the same?"
            )
        elif len(self.shape) > 1 and each.max() - each.min() < NARROW * width:
            warn(
                f"{what}: its numbers go from {each.min():g} to {each.max():g}, those of the "
                f"training from {self.low:g} to {self.high:g}: are the units the same?"
            )


def words_of(shape: tuple[int, ...]) -> str:
    """Inputs of a shape, for a message.

    >>> words_of((28, 28, 1)), words_of((5,))
    ('images of 28 × 28 × 1', '5 features')
    """
    if len(shape) < 2:
        return f"{shape[0]} features" if shape else "single numbers"
    return f"{'images' if len(shape) == 3 else 'arrays'} of {' × '.join(map(str, shape))}"
