"""The best learner of a run that is not finished, from its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from quickstudy import checkpoint
from quickstudy.devices import task_mesh
from quickstudy.errors import UserError
from quickstudy.files import read_json
from quickstudy.record import METRICS, checkpoints_in, newest_checkpoint, read_metrics
from quickstudy.runs.run import Kind
from quickstudy.settings.run import RunSettings
from quickstudy.terminal import say_once
from quickstudy.training.program import Program, State
from quickstudy.training.seeds import SeedRun


def best_so_far(folder: Path, kind: Kind) -> tuple[dict[str, Any], list[np.ndarray]] | None:
    """Give the header and the leaves that the file of a learner would have if training ended with
    the newest checkpoint in `folder`; None where there is none. Nothing is written, and another
    process may train there. Says in one line how far the run is.

    Raises `UserError` where the run's data cannot be read, or no checkpoint is whole.
    """
    written = folder / "config.json"
    if not written.exists() or not checkpoints_in(folder):
        return None
    configuration = read_json(written, "train it again in another --run folder")
    if "learner" not in configuration:  # an optimiser's
        return None
    settings = RunSettings.from_json(configuration)
    training = kind.training(kind.prepared(settings, [folder]), None)
    run = SeedRun(settings.training.seed, training.build(settings.training.seed))
    static = eqx.filter(run.learner, eqx.is_array, inverse=True)
    meta_batch = settings.training.meta_batch or 1
    program = Program(
        *(static, training.tasks, training.optimizer, training.meta_gradient),
        *(meta_batch, 1, task_mesh(1)),
    )
    state: State | None = newest_checkpoint(folder, program.start(run))
    if state is None:
        raise UserError(f"{folder} has no whole checkpoint: run its train command again")
    validated = not np.isnan(state.best_score)
    settled = program.settled(run, state.best if validated else state.trained)
    leaves = [np.asarray(x) for x in jax.tree.leaves(eqx.filter(settled, eqx.is_array))]
    step, steps = int(state.step), settings.training.steps
    which = f"the best so far, of step {int(state.best_step):,}" if validated else "not validated"
    say_once(
        f"{folder} is not finished: it is at step {step:,} of {steps:,}; its learner is {which}"
    )
    header = {
        "configuration": configuration,
        **training.header,
        "seconds": sum(row.get("seconds", 0.0) for row in read_metrics(folder / METRICS)),
        "leaves": checkpoint.describe(leaves),
    }
    return header, leaves
