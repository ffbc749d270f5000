"""Folders of runs: one run, or one for each of several seeds; and the classes that they keep."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from quickstudy.data.options import choice
from quickstudy.datasets.kept import NOT_KEPT, ClassSplit
from quickstudy.errors import UserError
from quickstudy.settings.run import TaskSettings

SPLIT_FILE = "split.json"
"""The names of a run's classes of the user's own data: of the form that `--split` takes."""


def seed_folder(folder: Path, seed: int) -> Path:
    """Where one of several seeds is kept: a run like any other."""
    return folder / f"seed-{seed}"


def seeds_in(folder: Path) -> dict[int, Path]:
    """The runs in a folder of several seeds, by seed; none where it is no such folder."""
    if (folder / "config.json").exists():
        return {}
    found = [p for p in folder.glob("seed-*") if p.is_dir() and p.name[5:].isdecimal()]
    return dict(sorted((int(path.name[5:]), path) for path in found))


def run_file(folder: Path, name: str) -> Path:
    """A file of a run. Raises `UserError` where `folder` is not a finished run."""
    path = folder / name
    if not path.exists():
        if seeds := seeds_in(folder):
            one = next(iter(seeds.values()))
            raise UserError(f"{folder} holds {len(seeds)} seeds: name one of them, say {one}")
        if (folder / "optimizer.qs").exists():
            raise UserError(f"{folder} is an optimiser: quickstudy optimize {folder}")
        if not (folder / "config.json").exists():
            raise UserError(f"{folder} is not a run: train one with --run {folder}")
        raise UserError(f"{folder} is not finished: run its train command again, it goes on")
    return path


def kept_split(folders: Collection[Path], tasks: TaskSettings) -> ClassSplit | None:
    """The classes that runs have kept which were begun in these folders, or beside them from other
    seeds, on the same choice of data; None where none was begun, `NOT_KEPT` where an earlier
    version began it and kept no names.

    Raises `UserError` where runs have different classes, or a file is damaged.
    """
    beside = [*folders]
    for folder in folders:
        if folder.name.startswith("seed-"):
            beside += seeds_in(folder.parent).values()
    found: dict[ClassSplit, Path] = {}
    begun = False
    for folder in dict.fromkeys(beside):
        if not _is_of(folder, tasks):
            continue
        if (path := folder / SPLIT_FILE).exists():
            found.setdefault(_read_split(path), path)
        else:
            begun = begun or any(folder.glob("checkpoints/step-*.qs"))
    if len(found) > 1:
        first, second, *_ = found.values()
        raise UserError(f"{first} and {second} have other classes: take another --run folder")
    return next(iter(found), NOT_KEPT if begun else None)


def _is_of(folder: Path, tasks: TaskSettings) -> bool:
    """Whether a run was begun there on the same choice of data."""
    try:
        there = json.loads((folder / "config.json").read_text())["tasks"]
        return choice(TaskSettings(**there)) == choice(replace(tasks, classes=None))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, UserError):
        return False


def _read_split(path: Path) -> ClassSplit:
    try:
        return ClassSplit.from_json(json.loads(path.read_text()))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged ({error}): without the names of its classes the run cannot go on, "
            "choose another --run folder"
        ) from None
