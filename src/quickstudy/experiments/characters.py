"""Make the learner of characters that comes with the package.

    quickstudy train protonet --tasks omniglot --way 5 --shot 5 --any-shot --train-way 20 \
        --train-shot 5 --train-query 5 --filters 32 --steps 5000 --run runs/characters
    python -m quickstudy.experiments.characters runs/characters

The second command keeps what known inputs are like to it, by the validation characters, beside the
weights: so `quickstudy adapt characters` needs no data.
"""

from __future__ import annotations

import sys
from pathlib import Path

from quickstudy import checkpoint
from quickstudy.runs.known import known_header
from quickstudy.runs.saved import SavedRun, shipped_learner

WAYS = (2, 5, 20)


def ship(run: Path, out: Path) -> None:
    """Write the learner of a run, and what known inputs are like to it, to `out`."""
    saved = SavedRun.open(run)
    learner = saved.learner()
    known = [entry for way in WAYS for entry in known_header(saved.settings, learner, way)]
    checkpoint.save(out, learner, {**saved.header, "known": known})


if __name__ == "__main__":
    ship(Path(sys.argv[1]), Path(str(shipped_learner("characters"))))
