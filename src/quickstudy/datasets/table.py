"""Your own table: a .csv or .parquet file with a row for each example and a label column.

petal,sepal,species
1.4,0.2,setosa
4.7,1.4,versicolor
"""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from quickstudy.datasets.grouped import Grouped
from quickstudy.errors import UserError, nearest


def load(path: Path, label_column: str = "label") -> Grouped:
    """The rows of a table, float32 (N, features), grouped by the label column.

    Every other column is a feature, and each of its cells a finite number. Features are left
    as they are: scale them with `grouped.standardise` once the classes are split. A .csv is
    comma-separated UTF-8 with a header; .parquet needs the `parquet` extra.

    Raises `UserError` naming the file, and the row and column where there is one: a missing or
    empty file, no label column, a row of another length, a cell that is not a number.

    >>> load(Path("iris.csv"), label_column="species").x.shape
    (150, 4)
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}: check its path")
    header, columns, rows = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    if len(set(header)) < len(header):
        raise UserError(f"{path} has two columns of the same name: rename one of {header}")
    if label_column not in header:
        raise UserError(
            f"{path} has no label column {label_column!r}; {nearest(label_column, header)}"
        )
    if not len(rows):
        raise UserError(f"{path} has no rows: add examples")
    labels = columns[header.index(label_column)]
    for row, label in zip(rows, labels, strict=True):
        if label is None or label == "":
            raise UserError(f"{path}, row {row}: no label in column {label_column!r}")
    features = {
        name: _numbers(path, name, cells, rows)
        for name, cells in zip(header, columns, strict=True)
        if name != label_column
    }
    if not features:
        raise UserError(f"{path} has no column but {label_column!r}: add columns of features")
    x = np.stack(list(features.values()), axis=1)
    grouped = Grouped.from_labels(x, [str(label) for label in labels])
    return replace(grouped, columns=tuple(features))


def _numbers(path: Path, name: str, cells: Sequence, rows: Sequence[int]) -> np.ndarray:
    """The cells of a column as float32 (N,), all of them finite."""
    numbers = _parse(cells)
    if numbers is None:
        row, cell = next(
            pair for pair in zip(rows, cells, strict=True) if _parse([pair[1]]) is None
        )
        raise UserError(
            f"{path}, row {row}, column {name!r}: {cell!r} is not a finite number: "
            "put one there, or leave out the row or the column"
        )
    return numbers


def _parse(cells: Sequence) -> np.ndarray | None:
    """Strings or numbers as float32 (N,); None if any of them is not a finite number."""
    try:
        with np.errstate(over="ignore"):
            numbers = np.asarray(cells).astype(np.float32)
    except (ValueError, TypeError):
        return None
    return numbers if numbers.ndim == 1 and np.isfinite(numbers).all() else None


Table = tuple[list[str], Sequence[Sequence], Sequence[int]]
"""The header, the cells of each column, and the number of each row in the file."""


def _read_csv(path: Path) -> Table:
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
