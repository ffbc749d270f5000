"""An LSTM optimiser that trains small networks on MNIST (Andrychowicz et al. 2016, section 3.2,
figures 4 to 6): does it carry over to longer trainings, more units, more layers, other units?
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from quickstudy.experiments.diagrams import Panel
from quickstudy.experiments.published.recipe import Budget
from quickstudy.experiments.race import race
from quickstudy.experiments.studies.lstm_quadratics import adam_reached, ahead
from quickstudy.experiments.studies.study import Study, Trained
from quickstudy.runs.problems import problems_of
from quickstudy.settings.optimizer_run import OptimizerRunSettings
from quickstudy.settings.optimizers import LSTMOptimizerSettings
from quickstudy.settings.problems import ProblemSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.settings.unrolling import UnrollSettings

PROBLEMS = 100
TUNING = 10
SMALL = 14
"""Pixels across on the small budget: a quarter of the coordinates."""


def networks(budget: Budget) -> ProblemSettings:
    """A layer of 20 sigmoid units."""
    return ProblemSettings("mnist", image_size=SMALL if budget == "cpu" else None)


def cases(budget: Budget) -> dict[str, tuple[ProblemSettings, int]]:
    """What the optimisers are tested on, and for how many steps."""
    known = networks(budget)
    made = {
        "20 sigmoid units": (known, 100),
        "20 sigmoid units, twice as long": (known, 200),
        "40 sigmoid units": (replace(known, hidden=(40,)), 100),
        "Two layers of 20 sigmoid units": (replace(known, hidden=(20, 20)), 100),
        "20 ReLUs": (replace(known, activation=("relu",)), 100),
    }
    if budget == "cpu":
        made["20 sigmoid units, 28 × 28 pixels"] = (replace(known, image_size=None), 100)
    return made


def training(budget: Budget, *activation: Literal["sigmoid", "relu"]) -> OptimizerRunSettings:
    """Of an optimiser on networks of 20 such units. The small budget goes from windows of 20 steps
    to whole trainings, and from sigmoid units to others."""
    long = TrainingSettings(
        steps=5000 if budget == "cpu" else 50_000,
        meta_batch=2 if budget == "cpu" else 8,
        learning_rate=3e-3,
        decay="cosine",
        validate_every=1000,
        validation_episodes=10,
    )
    problems = networks(budget)
    windows = OptimizerRunSettings(
        LSTMOptimizerSettings(), problems, UnrollSettings(weights="linear"), long
    )
    asked = replace(windows, problems=replace(problems, activation=activation))
    if budget == "full":
        return asked
    then = replace(long, steps=1600, learning_rate=1e-3, validate_every=200, validation_episodes=20)
    whole = replace(
        windows,
        unrolling=UnrollSettings(unroll=100, weights="linear"),
        training=then,
        start=windows,
    )
    if activation == ("sigmoid",):
        return whole
    return replace(whole, problems=asked.problems, training=replace(then, steps=1000), start=whole)


def panels(budget: Budget, trained: Trained) -> Iterator[Panel]:
    """Curves of each case; how far opponents are behind; how soon Adam's loss is reached."""
    learned = {
        "LSTM": trained(training(budget, "sigmoid")),
        "LSTM that knows ReLUs": trained(training(budget, "sigmoid", "relu")),
    }
    for name, (settings, steps) in cases(budget).items():
        found = race(
            learned,
            problems_of(settings),
            steps=steps,
            count=PROBLEMS,
            tuning=TUNING,
            show_progress=True,
        )
        yield found.panel(name)
        yield ahead(found, name)
        yield adam_reached(found, name)


STUDY = Study(
    "An LSTM optimiser trains networks on MNIST",
    "Andrychowicz et al. 2016, figures 4 to 6",
    "the loss is that of each step's minibatch of 128 training images, on the small budget of "
    f"{SMALL} × {SMALL} pixels; trained on 100 steps; {PROBLEMS} fresh trainings; "
    f"opponents' learning rates chosen on {TUNING} others of the same kind and length",
    panels,
)
