"""Settings as plain JSON values, and settings from these again."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import msgspec

from quickstudy.user_file import Source


def to_json(settings: Any, later: Collection[str] = ()) -> dict[str, Any]:
    """Give the fields of settings as plain JSON values, and the name of a learner or an optimiser.
    Options that came `later` than the first runs are left out where they are as by default, so
    that it is the same run.

    >>> to_json(MAMLSettings(inner_steps=2))["inner_steps"]
    2
    """
    name = {"name": settings.name} if hasattr(settings, "name") else {}
    usual = {f.name: f.default for f in dataclasses.fields(settings) if f.name in later}
    found = dataclasses.asdict(settings)
    return name | {k: v for k, v in found.items() if not (k in usual and v == usual[k])}


def from_json(found: Any, part: str, kind: Any) -> Any:
    """Make a value of type `kind` of `found[part]`: a plain one, or settings that `to_json` gave,
    whose missing fields have their defaults.

    Raises `ValueError` that names the field, where it has a value of another type, or where `kind`
    has no such field; and `UserError` where the settings refuse a value.

    >>> from_json({"training": {"steps": "many"}}, "training", TrainingSettings)
    Traceback (most recent call last):
    builtins.ValueError: training.steps: Expected `int | null`, got `str`
    """
    if not isinstance(found, dict) or part not in found:
        raise ValueError(f"it says nothing of {part!r}")
    try:
        made = msgspec.convert(found[part], kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise ValueError(f"{part}{where.rstrip('`')}: {what}") from error
    if not dataclasses.is_dataclass(made):
        return made
    _require_known(found[part], to_json(made), part)
    return dataclasses.replace(cast(Any, made))  # `vars` of it has fields at their defaults, too


def name_in(found: Any, part: str) -> str:
    """Read the name of the learner or of the optimiser in `found[part]`. Raises `ValueError` where
    there is none."""
    return from_json(from_json(found, part, dict[str, Any]), "name", str)


def source_in(found: dict[str, Any], part: str) -> Source | None:
    """Read which file of the user's own `found` needs. Raises `ValueError` for anything else."""
    source = found.get(part)
    if isinstance(source, str):  # earlier versions kept a path alone
        return Source(Path(source).name, None) if source else None
    return None if source is None else from_json(found, part, Source)


def _require_known(found: dict[str, Any], known: dict[str, Any], where: str) -> None:
    """Raise `ValueError` for a field in `found` that is none of those in `known`."""
    for field, value in found.items():
        if field not in known:
            raise ValueError(f"{where}.{field}: there is no such option")
        if isinstance(value, dict):
            _require_known(value, known[field], f"{where}.{field}")
