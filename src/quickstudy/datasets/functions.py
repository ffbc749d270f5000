"""Many small data sets in one table: a row for each example, a column that says which data set it
is of, and a column of real targets.

customer,date,price,sales
north,2024-01-01,1.2,310
north,2024-01-08,1.1,340
south,2024-01-01,1.2,95
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from quickstudy.datasets import columns, table
from quickstudy.datasets.columns import Column, typed
from quickstudy.datasets.encoding import Encoding, in_words
from quickstudy.datasets.grouped import Grouped
from quickstudy.datasets.labels import class_names
from quickstudy.errors import UserError, nearest
from quickstudy.terminal import say_once

SECONDS_IN_A_DAY = 86400


@dataclass(frozen=True)
class Rows:
    """The rows of a table, in the order of time where there is one."""

    columns: tuple[Column, ...]
    """The inputs."""
    x: np.ndarray
    """(N, inputs) float64, as `columns.typed` reads cells; time in days where it is given as
    dates."""
    y: np.ndarray | None
    """(N, 1) float64; None where the table has no column of targets."""
    tasks: Sequence | None
    """The N cells of the task column; None where none is asked for."""
    numbers: Sequence[int]
    """Of the rows in the file."""


def load(path: Path, task_column: str, target: str, time_column: str | None = None) -> Grouped:
    """The rows of a table by task, as a `Grouped` whose classes are tasks and whose x are inputs
    with the target in the last column, (N, inputs + 1) float64.

    With a time column, the rows of a task are in the order of time, and time counts from the first
    of them. Tasks with fewer than two rows are left out, and a line says so. Raises `UserError` as
    `read` does, and where no task has two rows.

    >>> load(Path("shops.csv"), "shop", "sales").x.shape
    (6, 3)
    """
    rows = read(path, target, time_column, task_column, targets=True)
    assert rows.tasks is not None
    assert rows.y is not None
    names = class_names(f"{path}, column {task_column!r}", rows.tasks, rows.numbers)
    grouped = Grouped.from_labels(np.concatenate([rows.x, rows.y], axis=1), names)
    enough = np.flatnonzero(grouped.count >= 2)
    if not len(enough):
        raise UserError(
            f"{path}: no {task_column!r} has two rows, and a task needs them: one to learn from "
            "and one to predict (is --task-column right?)"
        )
    if left_out := grouped.classes - len(enough):
        say_once(
            f"{path}: {left_out} of {grouped.classes} tasks (--task-column {task_column}) have one "
            "row alone and are left out"
        )
    grouped = grouped.select(enough)
    x = grouped.x
    if time_column is not None:
        place = place_of(time_column, rows)
        x[:, place] -= np.repeat(x[grouped.first, place], grouped.count)
    say_once(f"{path} has {in_words(rows.columns, rows.x)} beside {target!r}")
    return replace(grouped, x=x, columns=rows.columns, rows=np.asarray(rows.numbers)[grouped.rows])


def place_of(column: str, rows: Rows) -> int:
    """Where a column stands among the inputs."""
    return [one.name for one in rows.columns].index(column)


def read(
    path: Path,
    target: str,
    time_column: str | None = None,
    task_column: str | None = None,
    *,
    targets: bool = False,
    like: Encoding | None = None,
) -> Rows:
    """The rows of a table: all columns but those of tasks and targets are inputs. With the columns
    of a training, `like`, cells are read as there, and what it left out is passed over.

    Raises `UserError` naming the file, and the row and column where there is one: a column that is
    missing (a column of targets only where there must be `targets`), a table without inputs or
    rows, a cell that is no number, a time that is neither a number nor a date.
    """
    found = table.cells(path)
    return rows_of(path, found, target, time_column, task_column, targets=targets, like=like)


def rows_of(
    path: Path,
    found: table.Cells,
    target: str,
    time_column: str | None = None,
    task_column: str | None = None,
    *,
    targets: bool = False,
    like: Encoding | None = None,
) -> Rows:
    """`read` the cells of a table; `path` names it in messages."""
    cells, numbers = dict(found.columns), found.rows
    wanted = {"--task-column": task_column, "--target": target if targets else None}
    for option, name in {**wanted, "--time-column": time_column}.items():
        if name is not None and name not in cells:
            raise UserError(
                f"{path} has no column {name!r} ({option}); {nearest(name, list(cells))}"
            )
    if not numbers:
        raise UserError(f"{path} has no rows: add examples")
    tasks = None if task_column is None else cells.pop(task_column)
    y = None
    if target in cells:
        given = cells.pop(target)
        y = columns.numbers(str(path), target, given, numbers) if targets else None
    if not cells:
        raise UserError(f"{path} has no column of inputs: add one beside {target!r}")
    typed_columns = [
        (Column(name, "number"), _times(path, name, column, numbers))
        if name == time_column
        else typed(str(path), name, column, numbers, like and like.column(name))
        for name, column in cells.items()
        if like is None or name not in like.left_out
    ]
    x = np.stack([values for _, values in typed_columns], axis=1, dtype=np.float64)
    y = None if y is None else y[:, None]
    rows = Rows(tuple(column for column, _ in typed_columns), x, y, tasks, numbers)
    if time_column is None:
        return rows
    return _in_order(rows, np.argsort(x[:, place_of(time_column, rows)], kind="stable"))


def _in_order(rows: Rows, order: np.ndarray) -> Rows:
    return Rows(
        rows.columns,
        rows.x[order],
        None if rows.y is None else rows.y[order],
        None if rows.tasks is None else [rows.tasks[i] for i in order],
        [rows.numbers[i] for i in order],
    )


def _times(path: Path, name: str, cells: Sequence, rows: Sequence[int]) -> np.ndarray:
    """Numbers as they are; dates and moments in days, float64 (N,)."""
    found = []
    for row, cell in zip(rows, cells, strict=True):
        if (time := _time(cell)) is None:
            raise UserError(
                f"{path}, row {row}, column {name!r} (--time-column): {cell!r} is neither a number "
                "nor a date like 2024-03-31 or 2024-03-31 18:00"
            )
        found.append(time)
    kinds = {isinstance(time, datetime) for time in found}
    if len(kinds) > 1:
        raise UserError(f"{path}, column {name!r} (--time-column) has both numbers and dates")
    if kinds == {True}:
        found = [time.timestamp() / SECONDS_IN_A_DAY for time in found]
    return np.asarray(found, np.float64)


def _time(cell: object) -> float | datetime | None:
    """A number, or a moment (in UTC where it names no zone); None where it is neither."""
    try:
        number = float(cell)  # pyright: ignore
        return number if np.isfinite(number) else None
    except (TypeError, ValueError):
        pass
    try:
        if isinstance(cell, date) and not isinstance(cell, datetime):
            cell = datetime(cell.year, cell.month, cell.day)
        moment = cell if isinstance(cell, datetime) else datetime.fromisoformat(str(cell).strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
