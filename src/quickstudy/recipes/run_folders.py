"""Folders of runs: one run, or one for each of several seeds."""

from __future__ import annotations

from pathlib import Path

from quickstudy.errors import UserError


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
