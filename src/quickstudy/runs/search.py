"""Test-time options of a trained run, chosen on its validation classes: nothing is trained."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickstudy.errors import UserError
from quickstudy.evaluation import Result
from quickstudy.files import read_json, write_json
from quickstudy.runs.measure import measure_seeds
from quickstudy.runs.saved import open_seeds
from quickstudy.training import VALIDATION_SEED

SEARCH_FILE = "search.json"

Options = dict[str, Any]


@dataclass(frozen=True)
class Search:
    """What was tried, in the order of the grid, and the best of it."""

    best: Options
    candidates: list[tuple[Options, Result]]


def search(
    run: Path,
    grid: Mapping[str, Sequence[Any]],
    *,
    episodes: int = 200,
    show_progress: bool = False,
) -> Search:
    """Measure all combinations of `grid` on the run's validation episodes, for the options that
    training does not depend on, and write every candidate's figure to `search.json` in the run.
    Of several seeds, an episode's figure is the mean over them.

    Raises `UserError` where `run` is no finished run, or the learner has no such option.

    >>> search(Path("runs/finetune"), {"head_rate": [0.1, 0.5], "head_steps": [50, 100]}).best
    {'head_rate': 0.5, 'head_steps': 100}
    """
    candidates, saved = [], open_seeds(run)
    for values in itertools.product(*grid.values()):
        options = dict(zip(grid, values, strict=True))
        result, _ = measure_seeds(
            saved,
            options,
            part="validation",
            episodes=episodes,
            seed=VALIDATION_SEED,
            show_progress=show_progress,
        )
        candidates.append((options, result))
    sign = 1 if candidates[0][1].higher_is_better else -1
    best, _ = max(candidates, key=lambda one: sign * one[1].estimate().mean)
    found = {
        "best": best,
        "candidates": [{"options": options, **result.summary()} for options, result in candidates],
    }
    write_json(run / SEARCH_FILE, found)
    return Search(best, candidates)


def best_options(run: Path) -> Options:
    """What `search` has found best. Raises `UserError` where nothing was searched."""
    path = run / SEARCH_FILE
    if not path.exists():
        raise UserError(f"there is no {path}: quickstudy search {run} --OPTION … makes one")
    try:
        return dict(read_json(path, "take it away and search again")["best"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not one of ours: take it away and search again") from error
