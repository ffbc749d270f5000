"""Rows of memory-augmented networks on sequences of Omniglot."""

from __future__ import annotations

from dataclasses import replace

from quickstudy.experiments.published.omniglot import OMNIGLOT, PIXELS
from quickstudy.experiments.published.recipe import Budget, Figure, Recipe
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners import LSTMSettings, MANNSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings

FIVE = replace(OMNIGLOT, way=5, sequence=50, image_size=20)
FIFTEEN = replace(OMNIGLOT, way=15, sequence=100, image_size=20)
NETWORKS: dict[str, LearnerSettings] = {
    "MANN": MANNSettings(),
    "MANN, NTM addressing": MANNSettings(addressing="ntm"),
    "MANN, feed-forward controller": MANNSettings(controller="feed-forward"),
    "LSTM": LSTMSettings(),
    "feed-forward": LSTMSettings(controller="feed-forward"),
    "nearest neighbour on pixels": PIXELS.learner,
}
Accuracies = tuple[float | None, ...]
NONE: Accuracies = (None,) * 6

NUMBERS_5: dict[str, Accuracies] = {
    "MANN": (36.4, 82.8, 91.0, 92.6, 94.9, 98.1),
    "MANN, NTM addressing": NONE,
    "LSTM": (24.4, 49.5, 55.3, 61.0, 63.6, 62.5),
    "feed-forward": (24.4, 19.6, 21.1, 19.9, 22.8, 19.5),
    "nearest neighbour on pixels": (4.0, 36.7, 41.9, 45.7, 48.1, 57.0),
}
"""One-hot labels, 5 classes. A neighbour's label does not depend on what labels are."""
WORDS_5: dict[str, Accuracies] = {
    "MANN": (0.0, 69.5, 80.4, 87.9, 88.4, 93.1),
    "MANN, feed-forward controller": (0.0, 8.0, 16.2, 25.2, 30.9, 46.8),
    "LSTM": (0.0, 9.0, 14.2, 16.9, 21.8, 25.5),
    "feed-forward": (0.0, 0.2, 0.0, 0.2, 0.0, 0.0),
}
WORDS_15: dict[str, Accuracies] = {
    "MANN": (0.1, 62.6, 79.3, 86.6, 88.7, 95.3),
    "MANN, NTM addressing": (0.0, 35.4, 61.2, 71.7, 77.7, 88.4),
    "MANN, feed-forward controller": (0.1, 12.8, 22.3, 28.8, 32.2, 43.4),
    "LSTM": (0.0, 2.2, 2.9, 4.3, 5.6, 12.7),
    "feed-forward": (0.0, 0.1, 0.0, 0.0, 0.0, 0.0),
}
NUMBERS_15: dict[str, Accuracies] = {
    "nearest neighbour on pixels": (0.5, 18.7, 23.3, 26.5, 29.1, 37.0),
}

SMALL_STEPS = 40_000


def mann_omniglot(budget: Budget) -> Recipe:
    """Sequences, each example predicted before its label is told: with a memory, and without."""
    cpu = budget == "cpu"
    steps = SMALL_STEPS if cpu else 100_000
    training = TrainingSettings(
        steps=steps,
        decay="cosine" if cpu else None,
        validate_every=steps // 10,
        validation_episodes=200,
    )

    def figures(
        called: str, tasks: TaskSettings, published: dict[str, Accuracies]
    ) -> tuple[Figure, ...]:
        return tuple(
            Figure(
                f"{label}, {called}",
                RunSettings(NETWORKS[label], replace(tasks, distort=True), training)
                if NETWORKS[label] is not PIXELS.learner
                else RunSettings(PIXELS.learner, tasks),
                tasks,
                None,
                presentations=accuracies,
            )
            for label, accuracies in published.items()
        )

    numbers = figures("5 classes", FIVE, NUMBERS_5)
    others = (
        ()
        if cpu
        else (
            *figures("5 classes called by words", replace(FIVE, letters=True), WORDS_5),
            *figures("15 classes", FIFTEEN, NUMBERS_15),
            *figures("15 classes called by words", replace(FIFTEEN, letters=True), WORDS_15),
        )
    )
    return Recipe(
        "Memory-augmented networks, sequences of Omniglot with labels one step late",
        "Santoro et al. 2016, tables 1 and 2",
        (*numbers, *others),
        "the vinyals split's 1,028 characters to train on and 423 to test on, instead of a random "
        "1,200 and 423; Koch's affine distortions for the paper's small shifts and rotations"
        + (
            f"; {steps:,} steps of 16 sequences with a cosine decay instead of 100,000; one-hot "
            "labels alone"
            if cpu
            else ""
        ),
        paired=cpu,
    )
