"""Rows of conditional neural processes and of the Neural Statistician on Omniglot."""

from __future__ import annotations

from dataclasses import replace

from quickstudy.experiments.published.omniglot import (
    COLUMNS,
    FEWER_QUERIES,
    OMNIGLOT,
    PIXELS,
    omniglot_test,
)
from quickstudy.experiments.published.recipe import Budget, Figure, Recipe, cosine_training
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners import CNPSettings, ProtoNetSettings, StatisticianSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings

SMALL = NetworkSettings("mlp", hidden=(256, 256))
"""Trains ten times as fast as convolutions on a CPU."""


def beside(
    runs: dict[str, dict[int, RunSettings]], published: tuple[float, ...], budget: Budget
) -> tuple[Figure, ...]:
    """A figure for each of the four columns and each method, by the number of classes that it was
    trained for; the first method has the published ones."""
    first = next(iter(runs))
    return tuple(
        Figure(
            f"{method}, {way}-way {shot}-shot",
            by_way[way],
            omniglot_test(way, shot, budget),
            number if method == first else None,
            episodes=300 if budget == "cpu" else 1000,
        )
        for (way, shot), number in zip(COLUMNS, published, strict=True)
        for method, by_way in runs.items()
    )


def cnp_omniglot(budget: Budget) -> Recipe:
    """Conditional neural processes as classifiers: means of classes, beside each other."""
    cpu = budget == "cpu"
    steps = {5: 12_000, 20: 10_000} if cpu else {5: 100_000, 20: 100_000}
    network = SMALL if cpu else NetworkSettings("conv4")

    def run(learner: LearnerSettings, way: int) -> RunSettings:
        tasks = replace(OMNIGLOT, way=way, train_way=way, train_shot=1, query=5, train_query=5)
        training = cosine_training(steps[way], meta_batch=20 // way if cpu else 16)
        return RunSettings(learner, tasks, training)

    prototypes = run(ProtoNetSettings(network), 20)
    runs = {
        "CNP": {way: run(CNPSettings(network), way) for way in steps},
        "ProtoNet, trained 20-way": {5: prototypes, 20: prototypes},
        "pixels": {5: PIXELS, 20: PIXELS},
    }
    return Recipe(
        "Conditional neural processes as classifiers",
        "Garnelo et al. 2018, table 2",
        beside(runs, (95.3, 98.5, 89.9, 96.8), budget),
        "one model for both shots, trained with 1"
        + (
            f"; {steps[5]:,} steps of 4 episodes 5-way, {steps[20]:,} of 1 episode 20-way; two "
            "layers of 256 units instead of convolutions (with these, 2,000 steps 5-way came to "
            f"48 % on validation classes); 300 test episodes; {FEWER_QUERIES}"
            if cpu
            else ""
        ),
        paired=True,
    )


def statistician_omniglot(budget: Budget) -> Recipe:
    """The Neural Statistician: classes by the divergence between contexts."""
    cpu = budget == "cpu"
    steps = 12_000 if cpu else 300_000
    network = SMALL if cpu else NetworkSettings("conv4")
    sets = replace(OMNIGLOT, train_way=16, train_shot=1, train_query=4)
    if cpu:
        learner = StatisticianSettings(network, halve_every_steps=1500)
    else:
        learner = StatisticianSettings(network, context=512)
    training = cosine_training(steps, meta_batch=1)
    runs = {
        "Statistician": RunSettings(learner, sets, training),
        "ProtoNet, same training": RunSettings(ProtoNetSettings(network), sets, training),
        "pixels": PIXELS,
    }
    return Recipe(
        "The Neural Statistician, classes by their contexts",
        "Edwards and Storkey 2017, section 5.3",
        beside(
            {name: {5: run, 20: run} for name, run in runs.items()},
            (98.1, 99.5, 93.2, 98.1),
            budget,
        ),
        "fully connected decoder, grey pixels, no reflections"
        + (
            f"; {steps:,} steps of 16 sets of 5 drawings; two layers of 256 units instead of "
            f"convolutions (on validation classes they did better after 1,500 steps), c of 64 "
            f"numbers instead of 512; 300 test episodes; {FEWER_QUERIES}"
            if cpu
            else "; four blocks of convolutions"
        ),
        paired=True,
    )
