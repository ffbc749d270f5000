"""An LSTM optimiser on random quadratics (Andrychowicz et al. 2016, section 3.1, figure 4 left)."""

from __future__ import annotations

from collections.abc import Iterator

from quickstudy.experiments.diagrams import Panel
from quickstudy.experiments.published.recipe import Budget
from quickstudy.experiments.race import Race, race
from quickstudy.experiments.studies.study import Study, Trained
from quickstudy.runs.problems import problems_of
from quickstudy.settings.optimizer_run import OptimizerRunSettings
from quickstudy.settings.optimizers import LSTMOptimizerSettings
from quickstudy.settings.problems import ProblemSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.settings.unrolling import UnrollSettings

PROBLEMS = 1000
TUNING = 10_000


def training(budget: Budget) -> OptimizerRunSettings:
    """Of the optimiser."""
    return OptimizerRunSettings(
        LSTMOptimizerSettings(scale=0.1),
        ProblemSettings("quadratics"),
        UnrollSettings(weights="linear"),
        TrainingSettings(
            steps=12_000 if budget == "cpu" else 50_000,
            meta_batch=64 if budget == "cpu" else 128,
            learning_rate=3e-3,
            decay="cosine",
            validate_every=1000,
            validation_episodes=1000,
        ),
    )


def ahead(found: Race, name: str) -> Panel:
    """How far each tuned opponent is above the learned optimiser at the end."""
    return Panel(
        f"{name}: above ours after {found.steps} steps",
        "opponent",
        "difference in loss",
        {"": {found.label(opponent): found.ahead(opponent) for opponent in found.tuned}},
    )


def adam_reached(found: Race, name: str) -> Panel:
    """How soon each has the loss that tuned Adam ends with."""
    steps = {optimizer: found.steps_to_adam(optimizer) for optimizer in found.curves}
    return Panel(
        f"{name}: steps to Adam's loss after {found.steps}",
        "optimiser",
        "steps",
        {"": {found.label(k): v for k, v in steps.items() if v is not None}},
    )


def panels(budget: Budget, trained: Trained) -> Iterator[Panel]:
    """Curves to the horizon and to twice that; differences; the search for rates."""
    settings = training(budget)
    optimizer = trained(settings)
    problems = problems_of(settings.problems)
    for steps in (100, 200):
        found = race(
            {"LSTM": optimizer},
            problems,
            steps=steps,
            count=PROBLEMS,
            tuning=TUNING,
            show_progress=True,
        )
        yield found.panel(f"Quadratics, {steps} steps")
        yield ahead(found, "Quadratics")
        if steps == 100:
            yield adam_reached(found, "Quadratics")
            yield found.search_panel("Rates tried, 100 steps")


STUDY = Study(
    "An LSTM optimiser on random quadratics",
    "Andrychowicz et al. 2016, figure 4",
    f"10 dimensions; trained on 100 steps, 20 at a time; {PROBLEMS:,} fresh problems; each "
    f"opponent's learning rate chosen on {TUNING:,} others for the same number of steps",
    panels,
)
