"""The user's own small data sets of real targets, in one table: functions to learn from a few
rows."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from quickstudy.data.inputs import Inputs
from quickstudy.data.kind import Functions
from quickstudy.data.own import Divided
from quickstudy.datasets import functions
from quickstudy.datasets.grouped import Grouped, Scaling
from quickstudy.datasets.kept import SPLITS
from quickstudy.errors import UserError


class TableOfTasks(Divided, Functions):
    """A table with a column that says which task a row is of, and a column of real targets. In
    every `Grouped` here a class is a task, and the last column of x is the target."""

    name: ClassVar[str] = "table"
    place: ClassVar[str] = "PATH"
    about: ClassVar[str] = "your own small data sets, in one table"
    things: ClassVar[tuple[str, str]] = ("task", "tasks")

    def read(self) -> Grouped:
        o = self.options
        assert o.task_column is not None
        assert o.target is not None
        return functions.load(self.path, o.task_column, o.target, o.time_column)

    def brought(self, found: Grouped, inputs: Inputs) -> Grouped:
        x = inputs.brought(self.said, found.x[:, :-1], found.columns)
        y = inputs.standardised(found.x[:, -1:])
        by = inputs.scaling
        assert by is not None
        by = Scaling(
            np.append(by.mean, inputs.target_mean),
            np.append(by.deviation, inputs.target_deviation),
        )
        x = np.concatenate([x, y], axis=1)
        return replace(found, x=x, scaling=by, encoding=inputs.encoding)

    def episodes(self, part: str, way: int, shot: int, query: int):
        import jax.numpy as jnp

        from quickstudy.tasks.rows import RowsOfTasks

        grouped = self.grouped(part)
        assert grouped.scaling is not None
        words = {"data": self.said, "split": self.split_words, "part": part}
        return RowsOfTasks(
            jnp.asarray(grouped.x[:, :-1]),
            jnp.asarray(grouped.x[:, -1:]),
            jnp.asarray(grouped.first),
            jnp.asarray(grouped.count),
            shot,
            query,
            self.options.time_column is not None,
            float(grouped.scaling.deviation[-1]),
            tuple(words.items()),
        )

    def inputs(self, shape: tuple[int, ...]) -> Inputs:
        train = self.grouped("train")
        by = train.scaling
        assert by is not None
        x = train.x[:, :-1]
        return Inputs(
            tuple(shape),
            columns=train.encoding and train.encoding.features,
            mean=tuple(by.mean[:-1].tolist()),
            deviation=tuple(by.deviation[:-1].tolist()),
            low=float(x.min()),
            high=float(x.max()),
            target=self.options.target,
            target_mean=float(by.mean[-1]),
            target_deviation=float(by.deviation[-1]),
            time_column=self.options.time_column,
            encoding=train.encoding,
        )

    def divided(self, everything: Grouped) -> dict[str, Grouped]:
        """Raises `UserError` where all training targets are the same number."""
        parts = super().divided(everything)
        if "train" in parts and np.ptp(parts["train"].x[:, -1]) == 0:
            raise UserError(
                f"{self.said}: {self.options.target!r} is the same in all training rows"
            )
        return parts

    @property
    def in_short(self) -> str:
        """How many tasks each part has, and the units of figures."""
        there = ", ".join(f"{len(self.names(part))} {part}" for part in SPLITS)
        scaling = self.grouped("train").scaling
        assert scaling is not None
        return (
            f"{self.said} has {there} tasks. mse is in squares of {scaling.deviation[-1]:.4g}, the "
            f"standard deviation of {self.options.target!r} over the training rows; rmse is in the "
            "units of the table"
        )

    def subject(self, way: int, shot: int) -> str:
        return f"{self.path.name}, {shot} rows"
