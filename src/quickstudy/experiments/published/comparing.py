"""Rows of the learners that compare two pictures."""

from __future__ import annotations

from dataclasses import replace

from quickstudy.experiments.published.omniglot import (
    COLUMNS,
    FEWER_QUERIES,
    OMNIGLOT,
    omniglot_test,
)
from quickstudy.experiments.published.recipe import Budget, Figure, Recipe, cosine_training
from quickstudy.settings.learners import ARCSettings, PixelsSettings, SiameseSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings


def siamese_omniglot(budget: Budget) -> Recipe:
    """Siamese networks on the four columns: one trained model for all."""
    if budget == "full":
        learner = SiameseSettings()
        tasks = replace(OMNIGLOT, way=20, query=5, train_way=16, train_query=4)
        training = TrainingSettings(steps=200_000, decay="cosine", validate_every=5000)
    else:
        learner = SiameseSettings(network=NetworkSettings(filters=32), crossed=True)
        tasks = replace(OMNIGLOT, way=20, query=1, train_way=40, train_query=1)
        training = cosine_training(6000, learning_rate=3e-3)
    run = RunSettings(learner, tasks, training)
    published = (96.7, 98.4, 88.0, 96.5)
    return Recipe(
        "Siamese networks",
        "Vinyals et al. 2016, table 1 (convolutional Siamese net, no fine-tuning)",
        tuple(
            Figure(f"{w}-way {s}-shot", run, omniglot_test(w, s, budget), p)
            for (w, s), p in zip(COLUMNS, published, strict=True)
        ),
        "the learned distance classifies, where the table takes the cosine"
        + (
            ""
            if budget == "full"
            else "; 32 filters, 6,000 steps on all pairs between 40 + 40 pictures of 40 classes; "
            f"{FEWER_QUERIES}"
        ),
    )


def siamese_koch(budget: Budget) -> Recipe:
    """Koch's own tests: verification, one-shot within an alphabet, and digits."""
    split = TaskSettings(
        tasks="omniglot", split="koch", rotations="none", within=True, way=20, query=1
    )
    if budget == "full":
        learner = SiameseSettings(network=NetworkSettings("koch"), penalty=1e-4)
        tasks = replace(split, image_size=105, distort=True, train_way=16, train_query=4)
        training = TrainingSettings(
            steps=200_000, learning_rate=1e-4, decay="cosine", validate_every=5000
        )
    else:
        learner = SiameseSettings(crossed=True)
        tasks = replace(split, image_size=35, distort=True, train_way=20, train_query=1)
        training = TrainingSettings(
            steps=13_000,
            learning_rate=3e-3,
            decay="cosine",
            validate_every=1300,
            validation_episodes=100,
        )
    run = RunSettings(learner, tasks, training)
    size = tasks.image_size
    verification = replace(tasks, verify=True, way=10, query=10)
    lake = TaskSettings(tasks="lake-runs", image_size=size)
    digits = TaskSettings(tasks="mnist", way=10, query=10, image_size=size)
    pixels = RunSettings(PixelsSettings(), split)
    nearest = "nearest neighbour on pixels"
    return Recipe(
        "Siamese networks on Koch's tests",
        "Koch et al. 2015, tables 1 and 2 and section 4.4",
        (
            Figure("verification within an alphabet", run, verification, 93.42, episodes=100),
            Figure(
                "verification, any two characters",
                run,
                replace(verification, within=False),
                93.42,
                episodes=100,
            ),
            Figure("20-way 1-shot, Lake's runs", run, lake, 92.0, episodes=20),
            Figure("20-way 1-shot within an alphabet", run, tasks, 92.0, episodes=400),
            Figure("MNIST, 10-way 1-shot", run, digits, 70.3, episodes=400),
            Figure(
                f"{nearest}: Lake's runs", pixels, replace(lake, image_size=28), 21.7, episodes=20
            ),
            Figure(f"{nearest}: within an alphabet", pixels, split, 21.7, episodes=400),
            Figure(f"{nearest}: MNIST", pixels, replace(digits, image_size=28), 26.5, episodes=400),
        ),
        "400 episodes within an alphabet have 20 trials each, where the paper has 400 trials in "
        "all; whether its pairs of two characters are of one alphabet it does not say"
        + (
            "; Adam with one learning rate and one penalty for all layers"
            if budget == "full"
            else "; conv4 at 35 × 35, the size of the paper's own network for digits, with batch "
            "normalisation, trained for 13,000 steps on all pairs between 20 + 20 pictures of 20 "
            "characters of one alphabet; verified within alphabets as it was trained"
        ),
    )


def arc_omniglot(budget: Budget) -> Recipe:
    """Attentive recurrent comparators at 20-way 1-shot."""
    if budget == "full":
        learner = ARCSettings()
        tasks = replace(OMNIGLOT, way=20, query=5, train_way=16, train_query=4, image_size=32)
        training = TrainingSettings(
            steps=400_000, learning_rate=1e-4, decay="cosine", validate_every=10_000
        )
    else:
        learner = ARCSettings(controller=128)
        tasks = replace(OMNIGLOT, way=20, query=1, train_way=16, train_query=4)
        training = TrainingSettings(
            steps=24_000,
            learning_rate=1e-3,
            decay="cosine",
            validate_every=6000,
            validation_episodes=50,
        )
    run = RunSettings(learner, tasks, training)
    test = replace(omniglot_test(20, 1, budget), image_size=tasks.image_size)
    return Recipe(
        "Attentive recurrent comparators",
        "Shyam et al. 2017; 94.8 % as Garcia and Bruna 2018, table 1, quote residual pairwise "
        "comparison",
        (Figure("20-way 1-shot", run, test, 94.8, episodes=300 if budget == "cpu" else 1000),),
        "glimpses of pixels, no convolutional network before them and no full context"
        + (
            ""
            if budget == "full"
            else "; 28 × 28 pixels, a controller of 128 units, 24,000 steps of 128 pairs; "
            f"{FEWER_QUERIES}"
        ),
    )
