"""Test-time options of a trained run, chosen on its validation classes: nothing is trained."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quickstudy.checkpoint import write_atomically
from quickstudy.recipes.wiring import load_learner, measure
from quickstudy.training import VALIDATION_SEED

SEARCH_FILE = "search.json"


def search(
    run: Path,
    grid: Mapping[str, Sequence[Any]],
    *,
    episodes: int = 200,
    show_progress: bool = False,
) -> dict[str, Any]:
    """The best of all combinations of `grid` on the run's validation episodes, for the options
    that training does not depend on; every candidate's figure goes to `search.json` in the run.

    Raises `UserError` where `run` is no finished run, or the learner has no such option.

    >>> search(Path("runs/finetune"), {"head_rate": [0.1, 0.5], "head_steps": [50, 100]})
    {'head_rate': 0.5, 'head_steps': 100}
    """
    tried = []
    for values in itertools.product(*grid.values()):
        options = dict(zip(grid, values, strict=True))
        settings, _, learner = load_learner(run, **options)
        result = measure(
            settings,
            learner,
            part="validation",
            episodes=episodes,
            seed=VALIDATION_SEED,
            show_progress=show_progress,
        )
        estimate = result.estimate()
        sign = 1 if result.higher_is_better else -1
        tried.append((sign * estimate.mean, options, result))
    best = max(tried, key=lambda one: one[0])
    found = {
        "best": best[1],
        "candidates": [{"options": o, **r.summary()} for _, o, r in tried],
    }
    write_atomically(run / SEARCH_FILE, json.dumps(found, indent=2).encode() + b"\n")
    return best[1]
