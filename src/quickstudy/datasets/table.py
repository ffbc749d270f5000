"""Your own table: a .csv or .parquet file with a row for each example and a label column.

petal,sepal,species
1.4,0.2,setosa
4.7,1.4,versicolor
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from quickstudy.datasets.columns import Column, typed
from quickstudy.datasets.encoding import Encoding, in_words
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.labels import class_names
from quickstudy.errors import UserError, nearest
from quickstudy.terminal import say_once, warn


@dataclass(frozen=True)
class Cells:
    """A table as it is in the file: nothing is decided."""

    columns: dict[str, Sequence]
    """The N cells of each column, by its name: text, or the values of a Parquet file."""
    rows: Sequence[int]
    """The number of each row in the file."""


@dataclass(frozen=True)
class Rows:
    """The rows of a table."""

    columns: tuple[Column, ...]
    """The features."""
    x: Float[np.ndarray, "n columns"]
    """A number for each cell, as `columns.typed` reads it: float64, NaN where one is missing."""
    labels: Sequence | None
    """The N cells of the label column; None where there is none."""
    numbers: Sequence[int]
    """Of the rows in the file."""


def load(path: Path, label_column: str = "label", like: Encoding | None = None) -> Grouped:
    """The rows of a table, a number for each cell (N, columns), grouped by the label column.

    Every other column is a feature: numbers, dates or categories (`columns.typed`). They are left
    as they are: once the classes are split, an `Encoding` makes features of them, and
    `grouped.standardise` scales these. Labels are brought to one spelling (`labels.normalised`). A
    .csv is comma-separated UTF-8 with a header; .parquet needs the `parquet` extra.

    Says on standard error what the columns hold, and which of them is a copy of the label. Raises
    `UserError` as `read` does, and where there is no row, or no label in a row.

    >>> load(Path("iris.csv"), label_column="species").x.shape
    (150, 4)
    """
    rows = read(path, label_column, labelled=True, like=like)
    assert rows.labels is not None
    if not len(rows.labels):
        raise UserError(f"{path} has no rows: add examples")
    names = class_names(f"{path}, column {label_column!r}", rows.labels, rows.numbers)
    grouped = Grouped.from_labels(rows.x, names)
    if like is None:
        say_once(f"{path} has {in_words(rows.columns, rows.x)}")
    warn_of_copies(path, rows, names)
    return replace(grouped, columns=rows.columns, rows=np.asarray(rows.numbers)[grouped.rows])


def warn_of_copies(path: Path, rows: Rows, names: Sequence[str]) -> None:
    """Warn of columns that have one value for each class, and another for each other."""
    classes = len(set(names))
    for column, values in zip(rows.columns, rows.x.T, strict=True):
        together = {(name, "" if np.isnan(v) else v) for name, v in zip(names, values, strict=True)}
        if classes == len(together) == len(np.unique(values)) < len(names):
            warn(
                f"{path}: column {column.name!r} tells the class of every row, as a copy of the "
                "label does: leave it out unless new rows have it before their class is known"
            )


def read(
    path: Path,
    label_column: str = "label",
    *,
    labelled: bool = False,
    like: Encoding | None = None,
) -> Rows:
    """The rows of a table, with labels or without; or with labels alone. With the columns of a
    training, `like`, cells are read as there, and what it left out is passed over.

    Raises `UserError` as `cells` and `typed` do, and where there is no label column where it must
    be `labelled`, or no features.
    """
    return rows_of(str(path), cells(path), label_column, labelled=labelled, like=like)


def rows_of(
    where: str,
    found: Cells,
    label_column: str = "label",
    *,
    labelled: bool = False,
    like: Encoding | None = None,
) -> Rows:
    """`read` the cells of a table that is called `where` in messages."""
    columns, header = dict(found.columns), list(found.columns)
    if labelled and label_column not in header:
        raise UserError(
            f"{where} has no label column {label_column!r}; {nearest(label_column, header)}"
        )
    labels = columns.pop(label_column, None)
    if not columns:
        raise UserError(f"{where} has no column but {label_column!r}: add columns of features")
    read = [
        typed(where, name, column, found.rows, like and like.column(name))
        for name, column in columns.items()
        if like is None or name not in like.left_out
    ]
    x = np.stack([values for _, values in read], axis=1) if read else np.empty((len(found.rows), 0))
    return Rows(tuple(column for column, _ in read), x, labels, found.rows)


def cells(path: Path) -> Cells:
    """The cells of a table.

    Raises `UserError` naming the file, and the row and column where there is one: a missing or
    empty file, columns without a name or of the same name, a row of another length.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}: check its path")
    header, columns, rows = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    if len(set(header)) < len(header):
        raise UserError(f"{path} has two columns of the same name: rename one of {header}")
    for number, name in enumerate(header, 1):
        if not name.strip():
            raise UserError(
                f"{path}: column {number} has no name: name it, or leave it out if it is a number "
                "of rows (pandas: to_csv(..., index=False))"
            )
    return Cells(dict(zip(header, columns, strict=True)), rows)


LONGEST_CELL = 2**31 - 1
"""Characters of a cell: a text may be long."""

Table = tuple[list[str], Sequence[Sequence], Sequence[int]]
"""The header, the cells of each column, and the number of each row in the file."""


def _read_csv(path: Path) -> Table:
    csv.field_size_limit(LONGEST_CELL)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, line) for line in reader if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as UTF-8 .csv ({error}): save it anew") from None
    if not lines:
        raise UserError(f"{path} is empty: it needs a header and a row for each example")
    (_, header), *body = lines
    for row, line in body:
        if len(line) != len(header):
            raise UserError(
                f"{path}, row {row}: {len(line)} cells, but the header has {len(header)}"
            )
    columns = list(zip(*(line for _, line in body), strict=True)) or [()] * len(header)
    return header, columns, [row for row, _ in body]


def _read_parquet(path: Path) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            "reading .parquet needs pyarrow: pip install 'quickstudy[parquet]'"
        ) from None
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path} cannot be read as .parquet ({error}): save it anew") from None
    columns = []
    for column in table.columns:
        cells = column.to_numpy()
        plain = cells.dtype.kind in "biuf" and not column.null_count
        columns.append(cells if plain else column.to_pylist())
    return table.column_names, columns, range(1, table.num_rows + 1)
