"""Data frames and arrays -> columns and names, without importing what made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from quickstudy.datasets.columns import Column, typed
from quickstudy.datasets.table import Cells
from quickstudy.errors import UserError


def names_of(X: Any) -> list[str] | None:
    """The names of the columns of a data frame; None where they are not all strings. Raises
    `UserError` where two are the same."""
    found = getattr(X, "columns", None)
    columns = [] if found is None else list(found)
    if not columns or not all(isinstance(name, str) for name in columns):
        return None
    if len(set(columns)) < len(columns):
        raise UserError(f"X has two columns of the same name: rename one of {', '.join(columns)}")
    return columns


def shape_of(X: Any) -> tuple[int, int]:
    """Rows and columns. Raises `UserError` where it has none of one of the two, or is sparse."""
    if hasattr(X, "tocsr"):
        raise UserError("X is sparse, which is not supported: give X.toarray()")
    try:
        shape = X.shape if hasattr(X, "shape") else np.asarray(X).shape
    except ValueError:  # rows of different lengths
        shape = ()
    if len(shape) == 2 and 0 not in shape:
        return tuple(shape)
    if len(shape) == 2 and shape[1] == 0:  # in the words that scikit-learn looks for
        raise UserError(
            f"X has 0 feature(s) (shape={tuple(shape)}) while a minimum of 1 is required: give it "
            "columns"
        )
    one = ". Reshape your data: X.reshape(-1, 1) is one column, X.reshape(1, -1) one row"
    raise UserError(
        f"X has shape {tuple(shape)}: give it rows and columns, one of each at least"
        f"{one if len(shape) == 1 else ''}"
    )


def columns_of(
    X: Any, order: Sequence[int] | None = None, like: Sequence[Column] | None = None
) -> tuple[list[Column], Float[np.ndarray, "n columns"]]:
    """The columns of X, in this order, and a number for each cell as `columns.typed` reads it; of
    the kinds of `like`, where they are known.

    Raises `UserError` where these are not rows of numbers, dates and words.

    >>> columns_of([[1.5, "a"], [2.5, "b"]])[1].tolist()
    [[1.5, 0.0], [2.5, 1.0]]
    """
    rows, count = shape_of(X)
    order = range(count) if order is None else order
    names = [str(name) for name in getattr(X, "columns", range(count))]
    x = np.asarray(X)
    if x.dtype.kind == "c":
        raise UserError(
            "Complex data not supported: give the real and the imaginary parts of X as columns"
        )
    if x.dtype.kind == "f" and np.isinf(x).any():
        raise UserError("X holds an infinite value: put a number there, or NaN where it is missing")
    if x.dtype.kind in "biuf" and all(column.kind == "number" for column in like or ()):
        return [Column(names[i], "number") for i in order], x[:, list(order)].astype(float)
    cells = _cells(X, x)
    known = [None] * len(order) if like is None else like
    read = [
        typed("X", names[i], cells[i], range(rows), one)
        for i, one in zip(order, known, strict=True)
    ]
    return [column for column, _ in read], np.stack([values for _, values in read], axis=1)


def cells_of(X: Any) -> Cells | None:
    """The cells of a data frame whose columns have names; None for anything else. Rows are counted
    from 0. Raises `UserError` as `names_of` does."""
    names = names_of(X)
    if names is None:
        return None
    return Cells(dict(zip(names, _cells(X, np.asarray(X)), strict=True)), range(len(X)))


def _cells(X: Any, x: np.ndarray) -> list[Any]:
    """The cells of each column: of a data frame as the column has them, since `x` is of one type
    for all."""
    if hasattr(X, "columns") and hasattr(X, "__getitem__"):
        columns = [np.asarray(X[name]) for name in X.columns]
    else:
        columns = list((x if hasattr(X, "__array__") else np.asarray(X, dtype=object)).T)
    return [column.tolist() if column.dtype.kind == "U" else column for column in columns]
