"""Many predictions as a file: a row of a .csv, or a line of JSON, for each input."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from quickstudy.cli import show
from quickstudy.errors import UserError
from quickstudy.files import as_json, require_ours, write_atomically
from quickstudy.terminal import warn

FORMATS = (".csv", ".jsonl")
ERROR = "error"
"""The last column of a .csv, and the word in JSON, for why an input could not be read."""


class Row(NamedTuple):
    """What is said of one input, or why it could not be read."""

    cells: Sequence[Any]
    """Of a .csv: its input comes first, `ERROR` last; those that are missing are blank."""
    values: dict[str, Any]
    """As JSON has it."""


def unread(name: str, error: str) -> Row:
    """The row of an input that could not be read."""
    return Row([name], {"input": name, ERROR: error})


BEGINNINGS = (["input", "class", "unknown", "probability"], ["input", "mean", "low", "high"])
"""The first columns of a .csv: of classes, and of a function."""


def require_out(out: Path, inputs: Sequence[Path]) -> None:
    """Raise `UserError` unless `out` is a .csv or .jsonl file that may be written, and none of the
    inputs."""
    if out.suffix not in FORMATS:
        raise UserError(f"--out {out}: its name must end in {' or '.join(FORMATS)}")
    if out.resolve() in {path.resolve() for path in inputs}:
        raise UserError(f"--out {out} is one of the inputs: choose another --out")
    require_ours(out, _is_ours, "a table of predictions", "--out")


def _is_ours(path: Path) -> bool:
    """Whether a file begins as those of `write` do."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                columns = next(csv.reader(file), [])
                return columns[:4] in BEGINNINGS and columns[-1] == ERROR
            row = json.loads(file.readline())
    except (csv.Error, ValueError, RecursionError):
        return False
    words = set(row) if isinstance(row, dict) else set()
    return "input" in words and bool({ERROR, "probabilities"} & words or {"mean", "low"} <= words)


def write(out: Path, columns: Sequence[str], rows: Iterable[Row]) -> int:
    """Write rows as they come, to a file that is there whole or not at all; say how many they are,
    and which inputs could not be read. Gives the exit status: 1 where there are such inputs."""
    count, errors = 0, []

    def content(file: BinaryIO) -> None:
        nonlocal count
        text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")
        table = csv.writer(text)
        if out.suffix == ".csv":
            table.writerow([*columns, ERROR])
        for count, row in enumerate(rows, 1):  # noqa: B007
            error = row.values.get(ERROR)
            if error is not None:
                errors.append(error)
            if out.suffix == ".csv":
                blank = [""] * (len(columns) - len(row.cells))
                table.writerow([*map(show.rounded, row.cells), *blank, error])
            else:
                text.write(as_json(show.rounded(row.values)) + "\n")
        text.detach()

    write_atomically(out, content, "choose another --out")
    show.line(f"written: {out}: {count - len(errors):,} predictions")
    if errors:
        warn(
            f"{len(errors):,} of {count:,} inputs could not be read ({out} says why, under "
            f"{ERROR!r}). The first: {errors[0]}"
        )
    return 1 if errors else 0
