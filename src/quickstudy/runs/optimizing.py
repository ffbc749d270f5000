"""Runs of learned optimisers: what is trained from their settings, and how the file is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax

from quickstudy.errors import UserError
from quickstudy.runs.run import Prepared, Start, Training, outer_optimizer
from quickstudy.settings.optimizer import OptimizerSettings
from quickstudy.settings.optimizer_run import OptimizerRunSettings

if TYPE_CHECKING:
    from quickstudy.optimizers import LearnedOptimizer


def build(settings: OptimizerSettings, seed: int) -> LearnedOptimizer:
    """Build the untrained optimiser."""
    return settings.build(jax.random.fold_in(jax.random.key(seed), 2**31 - 1))


def training(ready: Prepared, start: Start | None) -> Training:
    """Put together optimiser and problems. The best optimiser is chosen by the loss at the
    horizon's end, on problems that training does not meet.

    Raises `UserError` where the optimiser to begin with is of another kind.
    """
    from quickstudy.optimization import Trials
    from quickstudy.runs.problems import problems_of
    from quickstudy.training import Validation

    settings: OptimizerRunSettings = ready.settings
    options, problems = settings.training, problems_of(settings.problems)
    if start is not None and start.settings.optimizer != settings.optimizer:
        before = start.settings.optimizer
        raise UserError(f"--start {settings.start} is {before}, not {settings.optimizer}")
    assert options.steps is not None
    assert options.validate_every is not None
    trials = Trials(problems, settings.unrolling.horizon)
    return Training(
        lambda seed: start.learned if start else build(settings.optimizer, seed),
        problems,
        outer_optimizer(options),
        settings.unrolling.meta_gradient(options.steps),
        Validation(trials, options.validate_every, options.validation_episodes, options.patience),
        header={},
    )


def from_header(where: Path, header: dict[str, Any]) -> OptimizerRunSettings:
    """Read the settings of an optimiser from the header of its file. Raises `UserError` where they
    are not an optimiser's."""
    return OptimizerRunSettings.from_json(header.get("configuration", {}))


def structure(settings: OptimizerRunSettings, header: dict[str, Any]) -> Any:
    """Give the structure of the optimiser, with shapes for arrays."""
    return eqx.filter_eval_shape(lambda: build(settings.optimizer, 0))
