"""A trained in-context learner in scikit-learn's manner, without scikit-learn.

    TableClassifier().fit(X, y).predict_proba(X_new)

`fit` reads the table and trains nothing. Shapes are filled up to powers of two, with rows without a
label, columns of one value and classes without a row, which the learner passes over: few programs
serve all tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from quickstudy.compilation import enable_compilation_cache
from quickstudy.data.inputs import in_order
from quickstudy.datasets.labels import first_missing
from quickstudy.errors import UserError
from quickstudy.learner import Learner, Predictor
from quickstudy.learners.memory.in_context import InContext
from quickstudy.likelihood import Categorical
from quickstudy.runs.saved import SavedRun
from quickstudy.settings.learners.memory.in_context import MOST_FEATURES
from quickstudy.task import Examples
from quickstudy.terminal import warn

MOST_ROWS = 1000
"""Labelled rows: every one is looked at by every other."""

AT_ONCE = 64
"""New rows in a call of the compiled program."""

LEAST = (16, 4, 4)
"""Rows, columns and classes of the smallest table that a program is compiled for."""


class TableClassifier:
    """Classifies rows of small tables by a transformer that has been trained on synthetic ones.

    Classes may have any names. Up to `MOST_FEATURES` features and `MOST_ROWS` labelled rows; made
    for 5 to 100 of these. Features are numbers in any units. Where one is missing (NaN), the mean
    over the labelled rows is put in its place.

    `run` is the folder of an `in-context` run of your own in place of the weights that come with
    the package.

    >>> TableClassifier().fit(x, ["setosa", "virginica"] * 6).predict(x[1:3])
    array(['virginica', 'setosa'], dtype='<U9')
    """

    def __init__(self, run: str | Path | None = None):
        self.run = run

    def fit(self, X: Any, y: Any) -> TableClassifier:
        """Read n labelled rows: `X` (n, features), numbers; `y` (n,), their classes.

        Where `X` has named `columns`, as a data frame has, so must the rows to predict.

        Raises `UserError` where they are no such table, or larger than the limits above.
        """
        columns = _columns(X)
        x = _numbers(X)
        names, codes = _classes(y, len(x))
        if len(x) > MOST_ROWS:
            raise UserError(
                f"{len(x)} labelled rows: up to {MOST_ROWS}; give it some of them, or take "
                "gradient boosting, which is made for many"
            )
        if x.shape[1] > MOST_FEATURES:
            raise UserError(
                f"{x.shape[1]} features: up to {MOST_FEATURES}; leave some out, or combine them"
            )
        learner = _learner(self.run)
        enable_compilation_cache()
        self.classes_, self.n_features_in_ = names, x.shape[1]
        if columns is not None:
            self.feature_names_in_ = np.asarray(columns, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        known = ~np.isnan(x)
        count = np.maximum(known.sum(0), 1)
        self._mean = np.where(known, x, 0).sum(0) / count
        spread = np.sqrt((np.where(known, x - self._mean, 0) ** 2).sum(0) / count)
        self._scale = np.where(
            spread > 1e-12 * np.abs(self._mean), 1 / np.maximum(spread, 1e-300), 0
        )
        size = (*x.shape, len(names))
        rows, self._columns, classes = (
            max(least, 1 << (n - 1).bit_length()) for least, n in zip(LEAST, size, strict=True)
        )
        labels = np.full(rows, -1)
        labels[: len(codes)] = codes
        support = Examples(jnp.asarray(self._filled(x, rows)), jnp.asarray(labels))
        self._predictor = _read(learner, support, Categorical(classes))
        return self

    def predict_proba(self, X: Any) -> Float[np.ndarray, "n classes"]:
        """The probability of each class, in the order of `classes_`, for each row. Columns with
        names are taken by name, whatever their order; those without, in the order of `fit`.

        Raises `UserError` before `fit`, and where rows have other features.
        """
        if not hasattr(self, "classes_"):
            raise UserError("the classifier has read no table: call fit first")
        columns, known = _columns(X), getattr(self, "feature_names_in_", None)
        x = _numbers(X)
        if columns is not None and known is not None:
            x = x[:, in_order("X", columns, list(known), "the classifier")]
        elif columns is not None or known is not None:
            where, other = ("X", "fit") if known is None else ("fit", "X")
            warn(
                f"columns have names in {where} and none in {other}: they are taken in the order "
                "of fit"
            )
        if x.shape[1] != self.n_features_in_:
            raise UserError(
                f"X has {x.shape[1]} features, but {self.n_features_in_} were there in fit"
            )
        filled = self._filled(x, -(-len(x) // AT_ONCE) * AT_ONCE).reshape(
            -1, AT_ONCE, self._columns
        )
        found = [np.asarray(_probabilities(self._predictor, jnp.asarray(part))) for part in filled]
        p = np.concatenate(found)[: len(x), : len(self.classes_)].astype(float)
        return p / p.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> Shaped[np.ndarray, " n"]:
        """The most probable class of each row. Raises as `predict_proba` does."""
        best = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[best]

    def score(self, X: Any, y: Any) -> float:
        """The share of rows whose class is `y`. Raises as `predict_proba` does, and where there is
        not one class for each row."""
        found, y = self.predict(X), np.asarray(y)
        if y.shape != found.shape:
            raise UserError(
                f"y has shape {y.shape}: give it one class for each of the {len(found)} rows of X"
            )
        return float(np.mean(found == y))

    def _filled(self, x: np.ndarray, rows: int) -> np.ndarray:
        """Standardised, missing values at the mean, and with zeros up to the full shape."""
        x = np.where(np.isnan(x), 0, (x - self._mean) * self._scale)
        return np.pad(x, [(0, rows - len(x)), (0, self._columns - x.shape[1])]).astype(np.float32)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments it was made with, as scikit-learn asks for them."""
        return {"run": self.run}

    def set_params(self, **parameters: Any) -> TableClassifier:
        """Change them. Raises `UserError` for one that there is not."""
        for name, value in parameters.items():
            if name not in self.get_params():
                raise UserError(f"TableClassifier has no {name!r}: run")
            setattr(self, name, value)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classes_")

    def __sklearn_tags__(self) -> Any:
        from quickstudy.serving.scikit_learn import classifier_tags

        return classifier_tags()


def _learner(run: str | Path | None) -> InContext:
    learner = (SavedRun.shipped() if run is None else SavedRun.open(Path(run))).learner()
    if not isinstance(learner, InContext):
        raise UserError(f"{run} is not a run of in-context, which reads tables")
    return learner


def _columns(X: Any) -> list[str] | None:
    """The names of the columns of a data frame; None where they are not all strings. Raises
    `UserError` where two are the same."""
    found = getattr(X, "columns", None)
    columns = [] if found is None else list(found)
    if not columns or not all(isinstance(name, str) for name in columns):
        return None
    if len(set(columns)) < len(columns):
        raise UserError(f"X has two columns of the same name: rename one of {', '.join(columns)}")
    return columns


def _numbers(X: Any) -> Float[np.ndarray, "n d"]:
    """Raises `UserError` where these are not rows of numbers."""
    try:
        x = np.asarray(X, dtype=float)
    except (TypeError, ValueError):
        raise UserError(
            "X holds something that is not a number: encode it, say as 0 and 1"
        ) from None
    if x.ndim != 2 or 0 in x.shape:
        raise UserError(f"X has shape {x.shape}: give it rows and columns, one of each at least")
    if np.isinf(x).any():
        raise UserError("X holds an infinite value: put a number there, or NaN where it is missing")
    return x


def _classes(y: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The names of the classes, and the place of each row's among them. Raises `UserError` where
    these are not the classes of so many rows."""
    given = list(y) if np.ndim(y) == 1 else []  # NumPy would make strings of all
    if (missing := first_missing(given)) is not None:
        raise UserError(
            f"y has no class in row {missing} ({given[missing]}): leave out the rows without one"
        )
    if len({isinstance(label, str) for label in given}) > 1:
        raise UserError("y holds strings and numbers: name all classes by one of the two")
    y = np.asarray(y)
    if y.shape != (rows,):
        raise UserError(
            f"y has shape {y.shape}: give it one class for each of the {rows} rows of X"
        )
    if y.dtype.kind == "f" and not (np.isfinite(y) & (y == np.round(y))).all():
        raise UserError("y holds fractions: it must name classes; this is not regression")
    names, codes = np.unique(y, return_inverse=True)
    if len(names) < 2:
        raise UserError("y has one class: there is nothing to tell apart")
    return names, codes


@eqx.filter_jit
def _read(learner: Learner, support: Examples, likelihood: Categorical) -> Predictor:
    return learner.adapt(support, likelihood, key=jax.random.key(0))


@eqx.filter_jit
def _probabilities(predictor: Predictor, x: Array) -> Float[Array, "n classes"]:
    return jax.nn.softmax(predictor(x))
