"""The groups that classes are in: what comes before the slash of their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickstudy.data.kind import Classes
from quickstudy.errors import UserError

if TYPE_CHECKING:
    from quickstudy.tasks.within import Division


def division(data: Classes, part: str, way: int, flag: str = "--way") -> Division:
    """Divide the (rotated) classes of a part into their groups, if these have as many as `way`.
    Raises `UserError` where there are none, with the option that asks for as many."""
    from quickstudy.tasks.within import Division

    names = data.names(part) or [data.class_name(part)(0)]
    for name in names:
        if "/" not in name:
            raise UserError(
                f"--within needs classes with names like group/class; {data.said} has {name!r}"
            )
    groups = [f"{n.partition('/')[0]}/{turn}" for n in names for turn in range(data.turns)]
    try:
        return Division.of(groups, way)
    except ValueError as error:
        raise UserError(
            f"{data.said} ({part}), --within: {error}: ask for fewer with {flag}, or add classes"
        ) from error
