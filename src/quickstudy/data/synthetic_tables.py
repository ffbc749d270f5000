"""Tables that are made up."""

from __future__ import annotations

from typing import ClassVar

from quickstudy.data.kind import Made
from quickstudy.errors import UserError


class MadeTables(Made):
    """A table with a label an episode."""

    name: ClassVar[str] = "synthetic-tables"
    about: ClassVar[str] = "tables with a label, each from a random mechanism of its own"

    def episodes(self, part: str, way: int, shot: int, query: int):
        from quickstudy.tasks.tables import SyntheticTables

        try:
            return SyntheticTables(way, way * shot, way * query, self.options.features)
        except ValueError as error:
            raise UserError(f"--way {way} --shot {shot}: {error}") from error

    def subject(self, way: int, shot: int) -> str:
        return f"{self.name}, up to {way} classes and {way * shot} examples"
