"""Rows on glyphs."""

from __future__ import annotations

from quickstudy.experiments.published.recipe import Budget, Figure, Recipe, cosine_training
from quickstudy.settings.learners import ProtoNetSettings, ZeroShotSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings


def zero_shot_glyphs(budget: Budget) -> Recipe:
    """Glyphs that are known by their stroke program alone, beside one drawing of each."""
    small = budget == "cpu"
    steps = 6000 if small else 60000
    network = NetworkSettings(filters=32 if small else 64)

    training = cosine_training(steps, learning_rate=3e-3)

    def figure(label: str, learner: ZeroShotSettings | ProtoNetSettings) -> Figure:
        tasks = TaskSettings(
            way=20,
            shot=1,
            query=5,
            train_way=20,
            train_query=2 if small else 5,
            zero_shot=learner.reads_descriptions,
        )
        return Figure(label, RunSettings(learner, tasks, training), tasks, None)

    return Recipe(
        "Zero-shot classification of glyphs from their stroke programs, 20-way",
        "no published figure; by chance 5 %",
        (
            figure("0-shot, from the program", ZeroShotSettings(network)),
            figure("1-shot, from a drawing (prototypical networks)", ProtoNetSettings(network)),
        ),
        f"both trained on {steps:,} 20-way episodes of the same glyphs"
        + (", with 32 filters and 2 queries a class" if small else ""),
    )
