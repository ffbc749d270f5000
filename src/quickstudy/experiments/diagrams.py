"""What races and studies find, as data: diagrams with lines, and maps of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from quickstudy.estimate import Estimate


@dataclass(frozen=True)
class Panel:
    """One diagram: a figure with its interval against something, a line for each of several
    learners or variants."""

    title: str
    x: str
    """What is varied."""
    y: str
    """What is measured."""
    lines: dict[str, dict[str, Estimate]]
    """By name of the line, then by value of x."""
    logarithmic: Literal["", "y", "xy"] = ""
    """What varies over orders of magnitude."""
    points: tuple[str, ...] = ()
    """Names of lines that are points, not joined."""


@dataclass(frozen=True)
class Map:
    """One picture: numbers from 0 on, by row and column."""

    title: str
    x: str
    """What the columns are."""
    y: str
    """What the rows are."""
    values: np.ndarray
    columns: tuple[str, ...]
    """A word for each column."""
    rows: tuple[str, ...] = ()
    """A word for each row; without them, rows are numbered."""


def pictures(title: str, x: str, rows: dict[str, list[np.ndarray]], columns: list[str]) -> Map:
    """A map of pictures in rows, each with a name, and columns; all of one height and width."""
    values = np.concatenate([np.concatenate(row, axis=1) for row in rows.values()])

    def at_the_middle(words: list[str], pixels: int) -> tuple[str, ...]:
        each = pixels // len(words)
        made = [""] * pixels
        made[each // 2 :: each] = words
        return tuple(made)

    height, width = values.shape
    return Map(
        *(title, x, "", np.clip(values, 0, None)),
        columns=at_the_middle(columns, width),
        rows=at_the_middle(list(rows), height),
    )


def to_json(panel: Panel | Map) -> dict[str, Any]:
    """Plain JSON values."""
    words: dict[str, Any] = {"title": panel.title, "x": panel.x, "y": panel.y}
    if isinstance(panel, Map):
        values = np.round(panel.values.astype(float), 3).tolist()
        named = {"rows": list(panel.rows)} if panel.rows else {}
        return {**words, **named, "columns": list(panel.columns), "values": values}
    lines = {
        name: {
            x: {"mean": e.mean, "interval_95": e.half_width, "episodes": e.episodes}
            for x, e in line.items()
        }
        for name, line in panel.lines.items()
    }
    return {**words, "lines": lines}
