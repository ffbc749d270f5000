"""Rows on Omniglot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from quickstudy.experiments.published.recipe import (
    Budget,
    Figure,
    Recipe,
    cosine_training,
    same_budget,
)
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners import (
    FineTuningSettings,
    MatchingNetSettings,
    PixelsSettings,
    ProtoNetSettings,
    TADAMSettings,
    TapNetSettings,
)
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings

OMNIGLOT = TaskSettings(tasks="omniglot", split="vinyals", rotations="classes")

PIXELS = RunSettings(PixelsSettings("cosine", invert=True), OMNIGLOT)
"""Nearest neighbours on pixels, beside which others are put."""

COLUMNS = ((5, 1), (5, 5), (20, 1), (20, 5))


def omniglot_test(way: int, shot: int, budget: Budget, *, query: int = 15) -> TaskSettings:
    """Episodes to test on: with fewer queries at 20-way on the small budget."""
    query = min(query, 5) if way > 5 and budget == "cpu" else query
    return replace(OMNIGLOT, way=way, shot=shot, query=query)


FEWER_QUERIES = "5 queries a class instead of 15 at 20-way"
STRIDE = "convolutions with stride 2 instead of pooling"


def pixels_omniglot(budget: Budget) -> Recipe:
    """Nearest neighbour on raw pixels."""
    published = (41.7, 63.2, 26.7, 42.6)
    return Recipe(
        "Nearest neighbour on raw pixels, cosine",
        "Vinyals et al. 2016, table 1 (pixels, cosine)",
        tuple(
            Figure(f"{w}-way {s}-shot", PIXELS, replace(OMNIGLOT, way=w, shot=s, query=15), p)
            for (w, s), p in zip(COLUMNS, published, strict=True)
        ),
        "the vinyals split's 423 test characters; 28 × 28 images resampled with antialiasing",
    )


def finetune_omniglot(budget: Budget) -> Recipe:
    """A classifier of all training classes, its last layer tuned on the support set."""
    steps = 4000 if budget == "cpu" else 40000
    run = RunSettings(
        FineTuningSettings(), replace(OMNIGLOT, train_query=128), cosine_training(steps)
    )
    published = (86.0, 97.6, 72.9, 92.3)
    return Recipe(
        "Fine-tuning: softmax classifier of the training classes, new last layer",
        "Vinyals et al. 2016, table 1 (baseline classifier, softmax, fine-tuned)",
        tuple(
            Figure(f"{w}-way {s}-shot", run, omniglot_test(w, s, budget), p)
            for (w, s), p in zip(COLUMNS, published, strict=True)
        ),
        "the last layer alone is tuned"
        + (f"; {steps} steps of 128; {FEWER_QUERIES}" if budget == "cpu" else ""),
    )


def baselines_omniglot(budget: Budget) -> Recipe:
    """Nearest neighbours on the features of a classifier of all training classes."""
    cpu = budget == "cpu"
    steps = 8000 if cpu else 40000
    run = RunSettings(
        FineTuningSettings(NetworkSettings("conv4-stride" if cpu else "conv4")),
        replace(OMNIGLOT, train_query=128),
        cosine_training(steps),
    )
    rows: dict[str, tuple[tuple[float, ...], dict[str, Any]]] = {
        "cosine": ((80.0, 95.0, 69.5, 89.1), {"match": "cosine"}),
        "cosine, fine-tuned": (
            (82.3, 98.4, 70.6, 92.0),
            {"match": "cosine", "whole_network": True, "head_steps": 5, "head_rate": 0.01},
        ),
        "softmax, fine-tuned": ((86.0, 97.6, 72.9, 92.3), {}),
    }
    return Recipe(
        "Baseline classifier of the training classes, whose features are compared by the cosine",
        "Vinyals et al. 2016, table 1 (baseline classifier)",
        tuple(
            Figure(
                f"{label}, {w}-way {s}-shot",
                run,
                omniglot_test(w, s, budget),
                p,
                options=tuple(options.items()),
                episodes=300 if cpu else 1000,
            )
            for label, (published, options) in rows.items()
            for (w, s), p in zip(COLUMNS, published, strict=True)
        ),
        "one network for all rows; fine-tuned with the cosine, the whole network takes 5 steps; "
        "with the softmax, the last layer alone takes 100"
        + (f"; {STRIDE}; {steps:,} steps of 128; {FEWER_QUERIES}" if cpu else ""),
    )


def matching_omniglot(budget: Budget) -> Recipe:
    """Matching networks: with cosines scaled, as they are, and in full context."""
    cpu = budget == "cpu"
    steps = 12_000 if cpu else 60_000
    network = NetworkSettings("conv4-stride" if cpu else "conv4")
    tasks = replace(OMNIGLOT, train_way=20, train_query=2 if cpu else 5)
    longer = 10_000  # of the small budget
    published = (98.1, 98.9, 93.8, 98.5)

    def run(learner: MatchingNetSettings) -> RunSettings:
        return RunSettings(learner, tasks, cosine_training(steps))

    rows: dict[str, tuple[RunSettings, tuple[float | None, ...], dict[str, Any]]] = {
        "learned scale": (run(MatchingNetSettings(network)), published, {}),
        "learned scale, fine-tuned": (
            run(MatchingNetSettings(network)),
            (97.9, 98.7, 93.5, 98.7),
            {"test_steps": 5, "test_rate": 0.1},
        ),
        "scale 1, as published": (run(MatchingNetSettings(network, scale=1.0)), published, {}),
        "full context": (run(MatchingNetSettings(network, full_context=True)), (None,) * 4, {}),
    }
    if cpu:
        pooling = MatchingNetSettings(NetworkSettings("conv4"))
        forty = RunSettings(pooling, replace(tasks, train_way=40), cosine_training(longer))
        rows["learned scale, 40-way"] = (forty, published, {})
    return Recipe(
        "Matching networks, cosine",
        "Vinyals et al. 2016, table 1",
        tuple(
            Figure(
                f"{label}, {w}-way {s}-shot",
                settings,
                omniglot_test(w, s, budget),
                p,
                options=tuple(options.items()),
                episodes=300 if cpu and options else 1000,
            )
            for label, (settings, of_paper, options) in rows.items()
            for (w, s), p in zip(COLUMNS, of_paper, strict=True)
        ),
        "one model for all columns, trained 20-way 1-shot"
        + (
            f"; {STRIDE}; {steps:,} episodes with 2 queries a class; 40-way, {longer:,} episodes "
            f"and convolutions that pool; {FEWER_QUERIES}"
            if cpu
            else ""
        ),
    )


def protonet_omniglot(budget: Budget) -> Recipe:
    """Prototypical networks, one trained model per shot."""

    def run(shot: int) -> RunSettings:
        if budget == "full":
            tasks = replace(OMNIGLOT, shot=shot, train_way=60, train_query=5)
            training = TrainingSettings(
                steps=30000, decay="halve", halve_every=2000, validate_every=500
            )
        else:  # one model serves both shots
            tasks = replace(OMNIGLOT, train_way=40, train_query=2)
            training = TrainingSettings(
                steps=10000,
                decay="halve",
                halve_every=2000,
                validate_every=1000,
                validation_episodes=100,
            )
        return RunSettings(ProtoNetSettings(), tasks, training)

    published = (98.8, 99.7, 96.0, 98.9)
    return Recipe(
        "Prototypical networks, squared Euclidean",
        "Snell et al. 2017, table 1",
        tuple(
            Figure(f"{w}-way {s}-shot", run(s), omniglot_test(w, s, budget), p)
            for (w, s), p in zip(COLUMNS, published, strict=True)
        ),
        "not retrained on training and validation classes together"
        if budget == "full"
        else "one model for both shots, trained 40-way 1-shot with 2 queries a class for 10,000 "
        "episodes, instead of one for each shot, 60-way with 5 (on validation classes it did "
        "better at 5-shot than a model trained with 5 shots for 2,400 episodes); "
        f"{FEWER_QUERIES}",
    )


def protonet_glyphs_to_omniglot(budget: Budget) -> Recipe:
    """Trained on glyphs alone, tested on real characters."""
    steps = 1200 if budget == "cpu" else 20000
    run = RunSettings(
        ProtoNetSettings(),
        TaskSettings(tasks="glyphs", train_way=40, train_query=2),
        TrainingSettings(
            steps=steps,
            decay="halve",
            halve_every=steps // 5,
            validate_every=steps // 4,
            validation_episodes=100,
        ),
    )
    return Recipe(
        "Prototypical networks trained on glyphs alone, tested on Omniglot",
        "no published figure; the aim was 93 % at 5-way 1-shot",
        tuple(
            Figure(f"{w}-way {s}-shot", run, omniglot_test(w, s, budget), None)
            for w, s in COLUMNS[::2]
        ),
    )


def metric_omniglot(budget: Budget) -> Recipe:
    """Metric learners on one budget."""
    small = budget == "cpu"
    network = NetworkSettings("conv4", filters=32) if small else NetworkSettings("resnet12")
    tasks = replace(OMNIGLOT, way=5, shot=1, query=15, train_way=20, train_query=2 if small else 5)
    steps = 2000 if small else 30000
    learners: dict[str, LearnerSettings] = {
        "prototypical networks": ProtoNetSettings(network),
        "TADAM": TADAMSettings(network),
        "TapNet": TapNetSettings(network),
    }
    return Recipe(
        "Metric learners on one budget, Omniglot 5-way 1-shot",
        "no published table: a comparison on the same training and test episodes",
        same_budget(learners, tasks, steps, meta_batch=1, decay="cosine", validation_episodes=200),
        f"{'conv4 with 32 filters' if small else 'ResNet-12'}; {steps:,} episodes for every "
        f"method, 20-way 1-shot with {tasks.train_query} queries a class; TADAM also takes "
        "batches of 64 to classify all 4,112 training classes",
        paired=True,
    )
