"""Rows of the learners that read a support set, on Omniglot."""

from __future__ import annotations

from dataclasses import replace

from quickstudy.experiments.published.omniglot import (
    COLUMNS,
    FEWER_QUERIES,
    OMNIGLOT,
    PIXELS,
    STRIDE,
    omniglot_test,
)
from quickstudy.experiments.published.recipe import Budget, Figure, Recipe, cosine_training
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners import (
    MemoryModuleSettings,
    MetaNetworksSettings,
    ProtoNetSettings,
    SNAILSettings,
)
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings

SPLIT = "the vinyals split instead of a random one of 1,200 / 432 characters"

SMALL = NetworkSettings("conv4-stride", filters=32)
SMALL_STEPS = 4000


def small_run(
    learner: LearnerSettings,
    *,
    way: int = 5,
    steps: int = SMALL_STEPS,
    learning_rate: float = 1e-3,
) -> RunSettings:
    """A training on the small budget; where there are more classes, on fewer tasks a step."""
    many = way > 5
    tasks = replace(
        OMNIGLOT, way=way, shot=5, query=15, train_query=1 if many else 3, any_shot=True
    )
    training = cosine_training(steps, meta_batch=1 if many else 4, learning_rate=learning_rate)
    return RunSettings(learner, tasks, training)


def smaller(steps: int) -> str:
    """What the small budget has less of, where a method takes so many steps."""
    first = "" if steps == SMALL_STEPS else f", prototypical networks on the first {SMALL_STEPS:,}"
    return (
        f"trained 5-way, {steps:,} steps of 4 tasks with 3 queries a class, of 1 to 5 shots for "
        f"one model of each method, the same tasks for all{first}; 32 filters, {STRIDE}"
    )


def beside_prototypes(
    called: str, runs: dict[int, RunSettings], published: tuple[float | None, ...]
) -> tuple[Figure, ...]:
    """On the small budget: a model for each number of classes, beside a prototypical network that
    was trained on the same episodes of five, and nearest neighbours on pixels."""
    rows: dict[str, tuple[dict[int, RunSettings], tuple[float | None, ...]]] = {
        "prototypical networks": (
            dict.fromkeys(runs, small_run(ProtoNetSettings(SMALL))),
            (None,) * 4,
        ),
        called: (runs, published),
        "nearest neighbour on pixels": (dict.fromkeys(runs, PIXELS), (41.7, 63.2, 26.7, 42.6)),
    }
    return tuple(
        Figure(f"{label}, {way}-way {shot}-shot", of[way], omniglot_test(way, shot, "cpu"), number)
        for label, (of, numbers) in rows.items()
        for (way, shot), number in zip(COLUMNS, numbers, strict=True)
        if way in runs
    )


def each_column(
    runs: dict[tuple[int, int], RunSettings], published: tuple[float | None, ...]
) -> tuple[Figure, ...]:
    """On the full budget: a figure for each column, by the run of that column."""
    return tuple(
        Figure(f"{way}-way {shot}-shot", runs[way, shot], omniglot_test(way, shot, "full"), figure)
        for (way, shot), figure in zip(COLUMNS, published, strict=True)
        if figure is not None
    )


def snail_omniglot(budget: Budget) -> Recipe:
    """SNAIL, one model for 1 to 5 shots."""
    published = (99.07, 99.78, 97.64, 99.36)
    steps = {5: 16_000, 20: 12_000}  # of the small budget
    if budget == "cpu":
        runs = {
            way: small_run(
                SNAILSettings(SMALL, temporal_filters=32),
                way=way,
                steps=steps[way],
                learning_rate=3e-3,
            )
            for way in steps
        }
        figures = beside_prototypes("SNAIL", runs, published)
    else:

        def run(way: int) -> RunSettings:
            tasks: TaskSettings = replace(OMNIGLOT, way=way, shot=5, train_query=1, any_shot=True)
            training = TrainingSettings(
                steps=60_000, meta_batch=32, learning_rate=1e-4, decay="none", validate_every=3000
            )
            return RunSettings(SNAILSettings(), tasks, training)

        figures = each_column({(way, shot): run(way) for way, shot in COLUMNS}, published)
    return Recipe(
        "SNAIL: temporal convolutions and attention, one model for 1 to 5 shots",
        "Mishra et al. 2018, table 1",
        figures,
        f"{SPLIT}; "
        + (
            f"{smaller(steps[5])}; another model for 20-way, {steps[20]:,} steps of 1 task with 1 "
            "query a class; temporal convolutions with 32 filters instead of 128, attention "
            f"narrower in proportion; {FEWER_QUERIES}"
            if budget == "cpu"
            else "60,000 steps, of which the paper does not say how many; a query of each class in "
            "a training task"
        ),
        paired=budget == "cpu",
    )


def memory_module_omniglot(budget: Budget) -> Recipe:
    """A memory of keys and classes, written one example after another."""
    published = (98.4, 99.6, 95.0, 98.6)
    if budget == "cpu":
        one = small_run(MemoryModuleSettings(SMALL, margin=0.5), learning_rate=3e-3)
        figures = beside_prototypes("memory module", {5: one, 20: one}, published)
    else:

        def run(way: int, queries: int) -> RunSettings:
            tasks = replace(OMNIGLOT, way=way, shot=1, train_query=queries)
            training = TrainingSettings(
                steps=100_000,
                meta_batch=16,
                learning_rate=1e-4,
                clip=5.0,
                decay="none",
                validate_every=5000,
            )
            return RunSettings(MemoryModuleSettings(), tasks, training)

        of_way = {5: run(5, 5), 20: run(20, 4)}
        figures = each_column({(way, shot): of_way[way] for way, shot in COLUMNS}, published)
    return Recipe(
        "Memory module for rare events",
        "Kaiser et al. 2017, table 1",
        figures,
        f"{SPLIT}; "
        + (
            f"{smaller(SMALL_STEPS)}; a margin of 0.5 instead of 0.1; {FEWER_QUERIES}"
            if budget == "cpu"
            else "the four-block network with batch normalisation instead of one of six "
            "convolutions with dropout; training episodes have as many examples of each class"
        ),
        paired=budget == "cpu",
    )


def meta_networks_omniglot(budget: Budget) -> Recipe:
    """Meta networks, fast weights from loss gradients."""
    published = (98.95, None, 97.00, None)
    steps = 6000  # of the small budget
    if budget == "cpu":
        runs = {5: small_run(MetaNetworksSettings(SMALL), steps=steps)}
        figures = beside_prototypes("meta networks", runs, published)
    else:
        training = TrainingSettings(
            steps=60_000, meta_batch=4, learning_rate=1e-3, decay="none", validate_every=3000
        )
        of_column = {
            (way, 1): RunSettings(
                MetaNetworksSettings(), replace(OMNIGLOT, way=way, shot=1, train_query=3), training
            )
            for way in (5, 20)
        }
        figures = each_column(of_column, published)
    return Recipe(
        "Meta networks",
        "Munkhdalai and Yu 2017, table 1",
        figures,
        f"{SPLIT}; "
        + (
            f"{smaller(steps)}; tested 5-way alone"
            if budget == "cpu"
            else "60,000 steps of 4 tasks, the four-block network: the paper's were not to be had"
        ),
        paired=budget == "cpu",
    )
