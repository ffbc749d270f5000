"""Make the learners of characters that come with the package.

    quickstudy train protonet --tasks omniglot --way 5 --shot 5 --any-shot --train-way 20 \
        --train-shot 5 --train-query 5 --filters 32 --steps 5000 --run runs/characters
    quickstudy train maml --tasks omniglot --way 10 --shot 3 --query 5 --any-shot --train-query 2 \
        --filters 32 --normalisation support --inner-steps 1 --test-steps 5 --meta-batch 4 \
        --steps 3000 --validation-episodes 200 --validate-every 500 --decay cosine \
        --learning-rate 0.002 --run runs/characters-maml
    quickstudy train matching --tasks omniglot --way 5 --shot 5 --query 5 --any-shot \
        --train-way 20 --train-shot 5 --train-query 3 --filters 32 --steps 3000 \
        --validation-episodes 200 --validate-every 500 --decay cosine --learning-rate 0.002 \
        --run runs/characters-matching
    python -m quickstudy.experiments.characters runs/characters runs/characters-maml \
        runs/characters-matching

The last command keeps what known inputs are like to each, by the validation characters, beside the
weights: so `quickstudy adapt characters` and `quickstudy serve` need no data. The name of a run's
folder is the name of its file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from quickstudy import checkpoint
from quickstudy.runs.known import known_header
from quickstudy.runs.saved import SavedRun, shipped_learner
from quickstudy.serving.checks import inductive

WAYS = (2, 5, 20)


def ship(run: Path, out: Path) -> None:
    """Write the learner of a run, and what known inputs are like to it, to `out`. A learner
    whose last layer has an output for each class meets episodes of its own ways alone."""
    saved = SavedRun.open(run)
    settings, learner = inductive(saved)
    assert settings.tasks.way is not None
    ways = WAYS if learner.labels_are_names else (settings.tasks.way,)
    known = [entry for way in ways for entry in known_header(settings, learner, way)]
    checkpoint.save(out, saved.learner(), {**saved.header, "known": known})


if __name__ == "__main__":
    for run in map(Path, sys.argv[1:]):
        ship(run, Path(str(shipped_learner(run.name))))
