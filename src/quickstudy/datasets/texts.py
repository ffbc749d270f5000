"""Your own texts: a folder with a sub-folder of .txt files for each class, or a table.

letters/
  complaint/  001.txt  002.txt        text,label
  praise/     a.txt    b.txt          "It broke, on day one",complaint
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.datasets import folder, table
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.labels import class_names, is_missing
from quickstudy.errors import UserError, nearest

TABLES = (".csv", ".parquet")
SUFFIX = ".txt"


def load(path: Path, text_column: str = "text", label_column: str = "label") -> Grouped:
    """Read texts with labels, an object array (N,) of strings, grouped by class: the .txt files of
    each sub-folder, or the rows of a .csv or .parquet table.

    Raises `UserError` where there is no such folder, file or column, a class has no .txt file, a
    label is missing, and as `read` does.

    >>> load(Path("letters")).names
    ('complaint', 'praise')
    """
    if path.suffix in TABLES:
        cells = table.cells(path)
        found = _column(path, cells, label_column, "--label-column")
        names = class_names(f"{path}, column {label_column!r}", found, cells.rows)
        grouped = Grouped.from_labels(of_cells(str(path), cells, text_column), names)
        return replace(grouped, rows=np.asarray(cells.rows)[grouped.rows])
    if not path.is_dir():
        raise UserError(f"{path} is neither a folder nor a {' or '.join(TABLES)} file")
    classes = folder.classes_of(path, text_files, "texts")
    names = np.repeat(list(classes), [len(files) for files in classes.values()])
    texts = [_of_file(file) for files in classes.values() for file in files]
    return Grouped.from_labels(strings(texts), names)


def read(path: Path, text_column: str = "text") -> tuple[list[str], np.ndarray]:
    """Read texts without labels, and a name for each: a .txt file, all .txt files of a folder, or
    the rows of a table.

    Raises `UserError` where there is no such file or column; where a text is missing, blank, not
    UTF-8, or holds a NUL, with the file or the row.
    """
    if path.suffix in TABLES:
        cells = table.cells(path)
        names = [f"{path}, row {row}" for row in cells.rows]
        return names, of_cells(str(path), cells, text_column)
    if path.suffix.lower() != SUFFIX and not path.is_dir():
        raise UserError(f"{path} is no text: give {SUFFIX} files, folders of them, or tables")
    files = text_files(path) if path.is_dir() else [path]
    return [str(file) for file in files], strings([_of_file(file) for file in files])


def text_files(path: Path) -> list[Path]:
    """Find the .txt files in a folder, at all depths, sorted by path, hidden ones left out."""
    return folder.files_of(path, {SUFFIX})


def strings(texts: Sequence[str]) -> np.ndarray:
    """Give an object array (N,): NumPy's own strings lose a NUL at the end."""
    made = np.empty(len(texts), object)
    made[:] = texts
    return made


def _of_file(file: Path) -> str:
    try:
        found = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}): check its path") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 (byte {error.start + 1}): save it as UTF-8") from None
    return text(str(file), found)


def of_cells(where: str, cells: table.Cells, column: str) -> np.ndarray:
    """Give the texts in a column of a table that is called `where` in messages. Raises `UserError`
    as `read` does."""
    found = _column(where, cells, column, "--text-column")
    each = zip(cells.rows, found, strict=True)
    return strings([text(f"{where}, row {row}, column {column!r}", cell) for row, cell in each])


def _column(where: str | Path, cells: table.Cells, name: str, option: str) -> Sequence[Any]:
    there = cells.columns
    if name not in there:
        raise UserError(
            f"{where} has no column {name!r}; {nearest(name, list(there))}; train takes another "
            f"with {option}"
        )
    if not len(there[name]):
        raise UserError(f"{where} has no rows: add examples")
    return there[name]


def text(where: str, found: Any) -> str:
    """Give what was found as a text. Raises `UserError` where it is none."""
    if is_missing(found):
        raise UserError(f"{where} holds no text: write some, or leave it out")
    if not isinstance(found, str):
        raise UserError(f"{where} holds {found!r}, which is no text: name a column of texts")
    if "\0" in found:
        raise UserError(f"{where} holds a NUL, which no text has: is it UTF-16? Save it as UTF-8")
    return found
