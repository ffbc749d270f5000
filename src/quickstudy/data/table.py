"""The user's own rows."""

from __future__ import annotations

from typing import ClassVar

from quickstudy.data.own import Own
from quickstudy.datasets import table
from quickstudy.datasets.grouped import Grouped


class Table(Own):
    """A table with a column that holds the class."""

    name: ClassVar[str] = "table"
    place: ClassVar[str] = "PATH"
    about: ClassVar[str] = (
        "your own rows: a CSV or Parquet table with a label column; or small data sets in one "
        "table, with --task-column and --target"
    )

    def read(self) -> Grouped:
        inputs = self.options.inputs
        return table.load(self.path, self.options.label_column, inputs and inputs.encoding)
