"""Rows of a table -> the inputs of a learner of functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quickstudy.data.inputs import Inputs
from quickstudy.datasets import functions, table
from quickstudy.errors import UserError
from quickstudy.settings.run import RunSettings


def read_rows(settings: RunSettings, path: Path, *, targets: bool) -> functions.Rows:
    """The rows of a table in a file; the task column may be missing there."""
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"{path}: the learner takes rows of a table, .csv or .parquet")
    return rows_of(settings, path, table.cells(path), targets=targets)


def rows_of(
    settings: RunSettings, path: Path, cells: table.Cells, *, targets: bool
) -> functions.Rows:
    """The rows of a table."""
    t = settings.tasks
    assert t.target is not None
    return functions.rows_of(
        path,
        cells,
        t.target,
        t.time_column,
        t.task_column if t.task_column in cells.columns else None,
        targets=targets,
        like=t.inputs and t.inputs.encoding,
    )


def brought(inputs: Inputs, path: Path, rows: functions.Rows, start: float) -> np.ndarray:
    """The inputs of rows as the learner takes them."""
    x = rows.x.copy()
    if inputs.time_column is not None:
        x[:, functions.place_of(inputs.time_column, rows)] -= start
    return inputs.brought(str(path), x, rows.columns)
