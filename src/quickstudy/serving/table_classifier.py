"""A trained in-context learner in scikit-learn's manner, without scikit-learn.

    TableClassifier().fit(X, y).predict_proba(X_new)

`fit` reads the table and trains nothing. Shapes are filled up to powers of two, with rows without a
label, columns of one value and classes without a row, which the learner passes over: few programs
serve all tables.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from quickstudy.compilation import enable_compilation_cache
from quickstudy.datasets.columns import in_order
from quickstudy.datasets.encoding import Encoding
from quickstudy.datasets.labels import first_missing
from quickstudy.errors import UserError
from quickstudy.learner import Learner, Predictor
from quickstudy.learners.memory.in_context import InContext
from quickstudy.likelihood import Categorical
from quickstudy.runs.saved import SavedRun
from quickstudy.serving.frames import columns_of, names_of, shape_of
from quickstudy.serving.scikit_learn import classifier_tags, not_fitted
from quickstudy.settings.learners.memory.in_context import MOST_FEATURES
from quickstudy.task import Examples
from quickstudy.terminal import warn

MOST_ROWS = 1000
"""Labelled rows: every one is looked at by every other."""

AT_ONCE = 64
"""New rows in a call of the compiled program."""

LEAST = (16, 4, 4)
"""Rows, columns and classes of the smallest table that a program is compiled for."""


class InvalidTable(UserError, ValueError):
    """What a classifier cannot read: scikit-learn wants a `ValueError`."""


def told_as_value_error(method: Callable[..., Any]) -> Callable[..., Any]:
    """Raise the `UserError` of a method as an `InvalidTable`."""

    @functools.wraps(method)
    def told(*given: Any, **named: Any) -> Any:
        try:
            return method(*given, **named)
        except ValueError:
            raise
        except UserError as error:
            raise InvalidTable(str(error)) from error

    return told


class TableClassifier:
    """Classifies rows of small tables by a transformer that has been trained on synthetic ones.

    Classes may have any names. Up to `MOST_FEATURES` features and `MOST_ROWS` labelled rows; made
    for 5 to 100 of these. A column holds numbers in any units, dates or words (`datasets.columns`);
    an `Encoding` of the labelled rows makes features of words and dates. Where a number is missing
    (NaN), the mean over the labelled rows is put in its place.

    `run` is the folder of an `in-context` run of your own in place of the weights that come with
    the package. `class_weight` is None, "balanced" or weights w_k by class, those of others being
    1. Nothing is trained, so the weights act on the answer:

        p'(k | x) = w_k p(k | x) / Σ_j w_j p(j | x),     balanced: w_k = n / (K n_k)

    where n_k of the n labelled rows are of class k, and K is the number of classes. This is the
    minimum of the expected loss -w_y log q(y | x) over q, and with the balanced weights the answer
    for classes that are equally frequent (Elkan 2001; Saerens et al. 2002).

    >>> TableClassifier().fit(x, ["setosa", "virginica"] * 6).predict(x[1:3])
    array(['virginica', 'setosa'], dtype='<U9')
    """

    def __init__(
        self,
        run: str | Path | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
    ):
        self.run, self.class_weight = run, class_weight

    @told_as_value_error
    def fit(self, X: Any, y: Any) -> TableClassifier:
        """Read n labelled rows: `X` (n, columns), a data frame or an array; `y` (n,), their
        classes. Says on standard error which columns are left out, if any.

        Where `X` has named `columns`, as a data frame has, so must the rows to predict.

        Raises `UserError` where they are no such table, or larger than the limits above.
        """
        names, (columns, x) = names_of(X), columns_of(X)
        classes, codes = _classes(y, len(x))
        weights = _weights(self.class_weight, classes, codes)
        self.n_features_in_, self._encoding = x.shape[1], None
        self._used, self._kept = columns, range(x.shape[1])
        if any(column.kind != "number" for column in columns):
            self._encoding = Encoding.of("X", columns, x)
            self._used = self._encoding.columns
            left_out = self._encoding.left_out
            self._kept = [i for i, column in enumerate(columns) if column.name not in left_out]
            x = self._encoding("X", [columns[i] for i in self._kept], x[:, self._kept])
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
        self.classes_, self._weights = classes, weights
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        known = ~np.isnan(x)
        count = np.maximum(known.sum(0), 1)
        self._mean = np.where(known, x, 0).sum(0) / count
        spread = np.sqrt((np.where(known, x - self._mean, 0) ** 2).sum(0) / count)
        self._scale = np.where(
            spread > 1e-12 * np.abs(self._mean), 1 / np.maximum(spread, 1e-300), 0
        )
        size = (*x.shape, len(classes))
        rows, self._width, ways = (
            max(least, 1 << (n - 1).bit_length()) for least, n in zip(LEAST, size, strict=True)
        )
        labels = np.full(rows, -1)
        labels[: len(codes)] = codes
        support = Examples(jnp.asarray(self._filled(x, rows)), jnp.asarray(labels))
        self._predictor = _read(learner, support, Categorical(ways))
        return self

    @told_as_value_error
    def predict_proba(self, X: Any) -> Float[np.ndarray, "n classes"]:
        """The probability of each class, in the order of `classes_`, for each row. Columns with
        names are taken by name, whatever their order; those without, in the order of `fit`.

        Raises `UserError` before `fit`, and where rows have other features.
        """
        if not hasattr(self, "classes_"):
            raise not_fitted("the classifier has read no table: call fit first")
        names, known = names_of(X), getattr(self, "feature_names_in_", None)
        order = list(range(shape_of(X)[1]))
        if names is not None and known is not None:
            order = in_order("X", names, list(known), "the classifier")
        elif names is not None or known is not None:
            where, other = ("X", "fit") if known is None else ("fit", "X")
            warn(
                f"columns have names in {where} and none in {other}: they are taken in the order "
                "of fit"
            )
        if len(order) != self.n_features_in_:
            raise UserError(
                f"X has {len(order)} features, but TableClassifier is expecting "
                f"{self.n_features_in_} features as input"
            )
        columns, x = columns_of(X, [order[i] for i in self._kept], self._used)
        x = x if self._encoding is None else self._encoding("X", columns, x)
        filled = self._filled(x, -(-len(x) // AT_ONCE) * AT_ONCE).reshape(-1, AT_ONCE, self._width)
        found = [np.asarray(_probabilities(self._predictor, jnp.asarray(part))) for part in filled]
        p = np.concatenate(found)[: len(x), : len(self.classes_)].astype(float)
        return weighted(p, self._weights)

    def predict(self, X: Any) -> Shaped[np.ndarray, " n"]:
        """The most probable class of each row. Raises as `predict_proba` does."""
        best = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[best]

    @told_as_value_error
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
        return np.pad(x, [(0, rows - len(x)), (0, self._width - x.shape[1])]).astype(np.float32)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments it was made with, as scikit-learn asks for them."""
        return {"run": self.run, "class_weight": self.class_weight}

    def set_params(self, **parameters: Any) -> TableClassifier:
        """Change them. Raises `UserError` for one that there is not."""
        for name, value in parameters.items():
            if name not in self.get_params():
                raise UserError(f"TableClassifier has no {name!r}: run, class_weight")
            setattr(self, name, value)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classes_")

    def __sklearn_tags__(self) -> Any:
        return classifier_tags()


def _learner(run: str | Path | None) -> InContext:
    learner = (SavedRun.shipped("tables") if run is None else SavedRun.open(Path(run))).learner()
    if not isinstance(learner, InContext):
        raise UserError(f"{run} is not a run of in-context, which reads tables")
    return learner


def _weights(
    given: str | Mapping[Any, float] | None, classes: np.ndarray, codes: np.ndarray
) -> Float[np.ndarray, " classes"]:
    """The weight of each class. Raises `UserError` where they are not positive numbers of classes
    that are there."""
    if given is None:
        return np.ones(len(classes))
    if isinstance(given, str) and given == "balanced":
        return len(codes) / (len(classes) * np.bincount(codes))
    if not isinstance(given, Mapping):
        raise UserError(f"class_weight is {given!r}: take None, 'balanced', or weights by class")
    known = classes.tolist()
    for name, weight in given.items():
        if name not in known:
            raise UserError(f"class_weight names {name!r}, and the classes are {known}")
        if not (isinstance(weight, int | float | np.number) and 0 < weight < np.inf):
            raise UserError(f"class_weight of {name!r} is {weight!r}: weights are positive numbers")
    return np.asarray([float(given.get(name, 1)) for name in known])


def weighted(
    p: Float[np.ndarray, "n classes"], weights: Float[np.ndarray, " classes"]
) -> Float[np.ndarray, "n classes"]:
    """Correct the prior of probabilities: w_k p_k / Σ_j w_j p_j.

    >>> weighted(np.array([[0.8, 0.2]]), np.array([1.0, 4.0]))
    array([[0.5, 0.5]])
    """
    p = p * weights
    return p / p.sum(axis=1, keepdims=True)


def _classes(y: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The names of the classes, and the place of each row's among them. Raises `UserError` where
    these are not the classes of so many rows."""
    if y is None:
        raise UserError(
            "fit requires y to be passed, but the target y is None: give the class of each row"
        )
    y = np.asarray(y) if hasattr(y, "__array__") else y
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
        raise UserError("y is continuous: it must name classes; this is not regression")
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
