"""An LSTM optimiser that trains small networks on MNIST (Andrychowicz et al. 2016, section 3.2,
figures 4 to 6): does it carry over to longer trainings, more units, more layers, other units?
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from quickstudy.recipes.optimizers import (
    LSTMOptimizer,
    OptimizerRun,
    ProblemSettings,
    UnrollSettings,
)
from quickstudy.recipes.problems import problems_of
from quickstudy.recipes.published.recipe import Budget
from quickstudy.recipes.race import race
from quickstudy.recipes.settings import TrainingSettings
from quickstudy.recipes.studies.lstm_quadratics import adam_reached, ahead
from quickstudy.recipes.studies.study import Panel, Study, Trained

PROBLEMS = 50
TUNING = 5
SMALLER = 14
"""Pixels across, of the images that the small budget trains on: a quarter of the coordinates."""

SIGMOID = ProblemSettings("mnist", hidden=(20,), activation=("sigmoid",))
ANY = replace(SIGMOID, activation=("sigmoid", "relu"))
RELU = replace(SIGMOID, activation=("relu",))

CASES = {
    "20 sigmoid units": (SIGMOID, 100),
    "20 sigmoid units, twice as long": (SIGMOID, 200),
    "40 sigmoid units": (replace(SIGMOID, hidden=(40,)), 100),
    "two layers of 20 sigmoid units": (replace(SIGMOID, hidden=(20, 20)), 100),
    "20 ReLUs": (RELU, 100),
}


def training(budget: Budget, problems: ProblemSettings) -> OptimizerRun:
    """Of an optimiser on these networks; the small budget begins with sigmoid units on smaller
    images."""
    long = TrainingSettings(
        steps=5000 if budget == "cpu" else 50_000,
        meta_batch=2 if budget == "cpu" else 8,
        learning_rate=3e-3,
        decay="cosine",
        validate_every=1000,
        validation_episodes=10,
    )
    whole = OptimizerRun(LSTMOptimizer(), problems, UnrollSettings(weights="linear"), long)
    if budget == "full":
        return whole
    first = replace(whole, problems=replace(SIGMOID, image_size=SMALLER))
    short = replace(long, steps=1200, meta_batch=1, learning_rate=1e-3, validate_every=300)
    return replace(whole, training=short, start=first)


def panels(budget: Budget, trained: Trained) -> Iterator[Panel]:
    """Curves of each case; how far opponents are behind; how soon Adam's loss is reached."""
    learned = {
        "LSTM": trained(training(budget, SIGMOID)),
        "LSTM that knows ReLUs": trained(training(budget, ANY)),
    }
    for name, (settings, steps) in CASES.items():
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
    "the loss is that of each step's minibatch of 128 training images; trained on 100 steps, 20 at "
    f"a time, on the small budget first with sigmoid units on images of {SMALLER} × {SMALLER}; "
    f"{PROBLEMS} fresh trainings; opponents' learning rates chosen on {TUNING} others of the same "
    "kind and length",
    panels,
)
