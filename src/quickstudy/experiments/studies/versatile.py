"""An optimiser for any problem: a hierarchy after VeLO (Metz et al. 2022), trained on a few kinds
of problems at once and tested on those and on others, beside Adam tuned for each kind and untuned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from quickstudy.experiments.diagrams import Panel
from quickstudy.experiments.published.recipe import Budget
from quickstudy.experiments.race import ADAM, race
from quickstudy.experiments.studies.study import Study, Trained
from quickstudy.runs.problems import SEVERAL, TINY, problems_of
from quickstudy.settings.optimizer_run import OptimizerRunSettings
from quickstudy.settings.optimizers import HierarchicalOptimizerSettings
from quickstudy.settings.problems import ProblemSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.settings.unrolling import UnrollSettings

PROBLEMS = 50
TUNING = 5
STEPS = 500

HELD_OUT = {
    "rosenbrock": ProblemSettings("rosenbrock"),
    "ackley": ProblemSettings("ackley"),
    "three layers of 32 tanh units": replace(
        TINY, image_size=14, hidden=(32, 32, 32), activation=("tanh",)
    ),
    "convolutions": replace(TINY, kernels=(8, 8), hidden=(), activation=("relu",)),
}
"""Kinds that training does not meet."""


def training(budget: Budget) -> OptimizerRunSettings:
    """Of the optimiser, on all kinds of `SEVERAL` at once."""
    return OptimizerRunSettings(
        HierarchicalOptimizerSettings(),
        ProblemSettings("several"),
        UnrollSettings(horizon=STEPS, shortest=100),
        TrainingSettings(
            steps=3000 if budget == "cpu" else 20_000,
            meta_batch=8 if budget == "cpu" else 32,
            tasks_at_once=8 if budget == "cpu" else None,
            learning_rate=1e-3,
            clip=1.0,
            decay="cosine",
            validate_every=1000,
            validation_episodes=16,
        ),
    )


def panels(budget: Budget, trained: Trained) -> Iterator[Panel]:
    """Curves of each kind, of those that training met first."""
    optimizer = trained(training(budget))
    for name, settings in {**SEVERAL, **HELD_OUT}.items():
        found = race(
            {"hierarchy": optimizer},
            problems_of(settings),
            steps=STEPS,
            count=PROBLEMS,
            tuning=TUNING,
            opponents=[ADAM],
            show_progress=True,
        )
        yield found.panel(name + ("" if name in SEVERAL else " (held out)"))


STUDY = Study(
    "An optimiser for any problem",
    "after Metz et al. 2022 (VeLO)",
    f"{STEPS} steps; {PROBLEMS} fresh problems of each kind; Adam's learning rate chosen on "
    f"{TUNING} others of the kind, and .001 untuned; networks classify MNIST in 8 × 8 pixels, the "
    "tanh units in 14 × 14",
    panels,
)
