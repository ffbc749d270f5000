"""Rows of the learners that read a support set, on Omniglot."""

from __future__ import annotations

from dataclasses import replace

from quickstudy.recipes.learner_settings import LearnerSettings, NetworkSettings
from quickstudy.recipes.learners.baseline import Pixels
from quickstudy.recipes.learners.metric import ProtoNet
from quickstudy.recipes.learners.reading import SNAIL, MemoryModule, MetaNetworks
from quickstudy.recipes.published.omniglot import (
    COLUMNS,
    FEWER_QUERIES,
    OMNIGLOT,
    STRIDE,
    omniglot_test,
)
from quickstudy.recipes.published.recipe import Budget, Figure, Recipe
from quickstudy.recipes.settings import RunSettings, TaskSettings, TrainingSettings

SPLIT = "the vinyals split instead of a random one of 1,200 / 432 characters"

SMALL = NetworkSettings("conv4-stride", filters=32)
SMALL_STEPS = 4000
SMALL_TASKS = replace(OMNIGLOT, way=5, shot=5, query=15, train_query=3, any_shot=True)


def small_training(steps: int = SMALL_STEPS, learning_rate: float = 1e-3) -> TrainingSettings:
    """On the small budget."""
    return TrainingSettings(
        steps=steps,
        meta_batch=4,
        learning_rate=learning_rate,
        decay="cosine",
        validate_every=steps // 4,
        validation_episodes=100,
    )


def smaller(steps: int) -> str:
    """What the small budget has less of, where a method takes so many steps."""
    first = "" if steps == SMALL_STEPS else f", prototypical networks on the first {SMALL_STEPS:,}"
    return (
        f"trained 5-way, {steps:,} steps of 4 tasks with 3 queries a class, of 1 to 5 shots for "
        f"one model of each method, the same tasks for all{first}; 32 filters, {STRIDE}"
    )


def beside_prototypes(
    called: str,
    learner: LearnerSettings,
    training: TrainingSettings,
    published: tuple[float | None, ...],
) -> tuple[Figure, ...]:
    """On the small budget: one model for the columns that have a place in `published`, beside a
    prototypical network that was trained on the same episodes, and nearest neighbours on pixels."""
    columns = COLUMNS[: len(published)]
    rows: dict[str, tuple[LearnerSettings, TrainingSettings, tuple[float | None, ...]]] = {
        "prototypical networks": (ProtoNet(SMALL), small_training(), (None,) * len(columns)),
        called: (learner, training, published),
        "nearest neighbour on pixels": (
            Pixels("cosine", invert=True),
            TrainingSettings(),
            (41.7, 63.2, 26.7, 42.6),
        ),
    }
    return tuple(
        Figure(
            f"{label}, {way}-way {shot}-shot",
            RunSettings(learner, SMALL_TASKS if training.steps else OMNIGLOT, training),
            omniglot_test(way, shot, "cpu"),
            figure,
        )
        for label, (learner, training, figures) in rows.items()
        for (way, shot), figure in zip(columns, figures, strict=False)
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
    steps = 16_000  # of the small budget
    if budget == "cpu":
        learner = SNAIL(SMALL, temporal_filters=32)
        figures = beside_prototypes("SNAIL", learner, small_training(steps, 3e-3), published[:2])
    else:

        def run(way: int) -> RunSettings:
            tasks: TaskSettings = replace(OMNIGLOT, way=way, shot=5, train_query=1, any_shot=True)
            training = TrainingSettings(
                steps=60_000, meta_batch=32, learning_rate=1e-4, decay="none", validate_every=3000
            )
            return RunSettings(SNAIL(length=5 * way + 1), tasks, training)

        figures = each_column({(way, shot): run(way) for way, shot in COLUMNS}, published)
    return Recipe(
        "SNAIL: temporal convolutions and attention, one model for 1 to 5 shots",
        "Mishra et al. 2018, table 1",
        figures,
        f"{SPLIT}; "
        + (
            f"{smaller(steps)}; tested 5-way alone; temporal convolutions with 32 filters instead "
            "of 128, attention narrower in proportion"
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
        learner = MemoryModule(SMALL, margin=0.5)
        training = small_training(learning_rate=3e-3)
        figures = beside_prototypes("memory module", learner, training, published)
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
            return RunSettings(MemoryModule(), tasks, training)

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
    steps = 6000  # of the small budget
    if budget == "cpu":
        learner = MetaNetworks(SMALL)
        figures = beside_prototypes("meta networks", learner, small_training(steps), (98.95, None))
    else:
        training = TrainingSettings(
            steps=60_000, meta_batch=4, learning_rate=1e-3, decay="none", validate_every=3000
        )
        runs = {
            (way, 1): RunSettings(
                MetaNetworks(), replace(OMNIGLOT, way=way, shot=1, train_query=3), training
            )
            for way in (5, 20)
        }
        figures = each_column(runs, (98.95, None, 97.00, None))
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
