"""Rows of gradient-based methods on Omniglot."""

from __future__ import annotations

from dataclasses import replace

from quickstudy.experiments.published.omniglot import COLUMNS, OMNIGLOT
from quickstudy.experiments.published.recipe import Budget, Figure, Recipe, same_budget
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners import (
    ANILSettings,
    BOILSettings,
    CAVIASettings,
    FineTuningSettings,
    ImplicitMAMLSettings,
    MAMLPlusPlusSettings,
    MAMLSettings,
    MetaLSTMSettings,
    MetaSGDSettings,
    MTNetSettings,
    ReptileSettings,
    TAMLSettings,
)
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings
from quickstudy.settings.training import TrainingSettings


def maml_omniglot(budget: Budget) -> Recipe:
    """MAML, second order, stride-2 conv4."""
    split = replace(OMNIGLOT, split="maml", rotations="episode")

    def figure(way: int, shot: int, published: float) -> Figure:
        five = way == 5
        tasks = replace(
            split, way=way, shot=shot, query=15, train_way=way, train_shot=shot, train_query=shot
        )
        training = TrainingSettings(
            steps=6500 if budget == "cpu" else 60000,
            meta_batch=32 if five else 16,
            validate_every=1000,
            validation_episodes=200,
        )
        if budget == "cpu":
            tasks = replace(tasks, train_query=5)
            training = replace(training, meta_batch=16, decay="cosine")
        learner = MAMLSettings(
            network=NetworkSettings("conv4-stride"),
            inner_rate=0.4 if five else 0.1,
            inner_steps=1 if five else 5,
            test_steps=3 if five else 5,
        )
        return Figure(
            f"{way}-way {shot}-shot",
            RunSettings(learner, tasks, training),
            replace(split, way=way, shot=shot, query=15),
            published,
        )

    columns = COLUMNS if budget == "full" else COLUMNS[:1]
    return Recipe(
        "MAML, second order, transductive batch norm",
        "Finn et al. 2017, table 1",
        tuple(
            figure(w, s, p) for (w, s), p in zip(columns, (98.7, 99.9, 95.8, 98.9), strict=False)
        ),
        "15 queries a class at test"
        + (
            ""
            if budget == "full"
            else "; 6,500 meta-steps of 16 tasks with 5 queries a class and a cosine decay, "
            "instead of 60,000 of 32 with 1; 5-way 1-shot alone"
        ),
    )


def reptile_omniglot(budget: Budget) -> Recipe:
    """Reptile with the settings of its authors' commands: one model for both shots."""
    cpu = budget == "cpu"
    split = replace(OMNIGLOT, split="maml")

    def figure(way: int, shot: int, published: float) -> Figure:
        five = way == 5
        steps = (REPTILE_STEPS if cpu else {5: 100_000, 20: 200_000})[way]
        rate = ({5: 3e-3, 20: 4e-3} if cpu else {5: 1e-3, 20: 5e-4})[way]
        learner = ReptileSettings(
            NetworkSettings("conv4-flat", filters=64),
            inner_rate=rate,
            inner_steps=5 if five else 10,
            inner_batch=10 if five else 20,
            test_steps=50,
            test_batch=5 if five else 10,
        )
        return Figure(
            f"{way}-way {shot}-shot",
            RunSettings(
                learner,
                replace(split, way=way, shot=1, query=1, train_shot=1, train_query=9),
                TrainingSettings(steps=steps, meta_batch=5, validate_every=steps // 4),
            ),
            replace(split, rotations="none", way=way, shot=shot, query=1),
            published,
            episodes=1000 if cpu else 10_000,
        )

    return Recipe(
        "Reptile, transductive batch norm",
        "Nichol et al. 2018, table 1",
        tuple(
            figure(w, s, p) for (w, s), p in zip(COLUMNS, (97.68, 99.48, 89.43, 97.12), strict=True)
        ),
        "the best of four looks at 100 validation characters, on which the authors train; the "
        "tasks of a meta-batch run side by side, each place with Adam's moments of its own"
        + (
            f"; {REPTILE_STEPS[5]:,} and {REPTILE_STEPS[20]:,} meta-steps at 5-way and 20-way, "
            "instead of 100,000 and 200,000, with inner rates of .003 and .004 instead of .001 "
            "and .0005: by validation classes, so few meta-steps need larger ones"
            if cpu
            else ""
        ),
    )


REPTILE_STEPS = {5: 8000, 20: 2000}
"""Meta-steps on the small budget, by way."""


def gradient_omniglot(budget: Budget) -> Recipe:
    """Every gradient-based method on the same small budget, whatever the budget."""
    network = NetworkSettings("conv4-stride", filters=32)
    tasks = replace(
        OMNIGLOT, split="maml", rotations="episode", way=5, shot=1, query=15, train_query=5
    )
    learners: dict[str, LearnerSettings] = {
        "MAML": MAMLSettings(network),
        "first-order MAML": MAMLSettings(network, first_order=True),
        "ANIL": ANILSettings(network),
        "BOIL": BOILSettings(network),
        "Meta-SGD": MetaSGDSettings(network),
        "MAML++": MAMLPlusPlusSettings(network, annealing=200),
        "CAVIA": CAVIASettings(network),
        "T-net": MTNetSettings(network, masks=False),
        "MT-net": MTNetSettings(network),
        "TAML, entropy": TAMLSettings(network),
        "TAML, Theil": TAMLSettings(network, measure="theil"),
        "iMAML": ImplicitMAMLSettings(network, damping=0.0, extra_strength=0.0),
    }
    adapted = same_budget(
        learners, tasks, 1500, meta_batch=8, decay="cosine", validation_episodes=200
    )
    tuned = RunSettings(
        FineTuningSettings(network),
        replace(tasks, train_query=128),
        replace(adapted[0].run.training, meta_batch=1),
    )
    return Recipe(
        "Gradient-based methods on one small budget, Omniglot 5-way 1-shot",
        "no published table: a comparison on the same training and test episodes",
        (*adapted, Figure("fine-tuning", tuned, tasks, None)),
        "conv4 with stride 2 and 32 filters; 1,500 meta-steps of 8 tasks with 5 queries a class "
        "for every method, where papers take 30,000 to 100,000 of up to 32; MAML++ takes 5 inner "
        "steps, CAVIA 2, iMAML 16, the others 1; fine-tuning trains a classifier on 1,500 batches "
        "of 128; Reptile has a row of its own, reptile-omniglot",
        paired=True,
    )


SMALLER_META_LSTM = (
    "; conv4 with stride 2 and 16 filters; 1,500 meta-steps of 8 tasks with 5 queries a class for "
    "every method, at a rate of .01 that falls along a cosine, instead of 75,000 (1-shot) and "
    "50,000 (5-shot) of one task with 15, at .001; 3 steps of the LSTM instead of 12 and 8, from "
    "input gates near .4 instead of .011; MAML takes 1 step, and 3 at test"
)


def meta_lstm_omniglot(budget: Budget) -> Recipe:
    """The meta-learner LSTM beside MAML."""
    cpu = budget == "cpu"
    network = (
        NetworkSettings("conv4-stride", filters=16) if cpu else NetworkSettings("conv4", filters=32)
    )

    def figures(shot: int, steps: int, inner_steps: int) -> tuple[Figure, ...]:
        """Each method, then its queries normalised by the support set."""
        learners: dict[str, LearnerSettings] = {
            "MAML": MAMLSettings(network),
            "first-order MAML": MAMLSettings(network, first_order=True),
            "meta-learner LSTM": MetaLSTMSettings(
                network, inner_steps=inner_steps, inner_rate=0.4 if cpu else None
            ),
        }
        made = same_budget(
            {f"{name}, 5-way {shot}-shot": settings for name, settings in learners.items()},
            replace(
                OMNIGLOT,
                split="maml",
                rotations="episode",
                way=5,
                shot=shot,
                query=15,
                train_query=5 if cpu else 15,
            ),
            steps,
            meta_batch=8 if cpu else 1,
            learning_rate=1e-2 if cpu else None,
            decay="cosine" if cpu else None,
            validation_episodes=200,
        )
        inductive = (
            replace(f, label=f"{f.label}, inductive", options=(("normalisation", "support"),))
            for f in made
        )
        return (*made, *inductive)

    return Recipe(
        "The meta-learner LSTM beside MAML on the same budget, Omniglot",
        "no published figure on Omniglot; Ravi and Larochelle 2017, table 1, has 43.4 % and 60.6 % "
        "on mini-ImageNet",
        (
            (*figures(1, 1500, 3), *figures(5, 1500, 3))
            if cpu
            else (*figures(1, 75000, 12), *figures(5, 50000, 8))
        ),
        "meta-gradients are not clipped; inductive: queries normalised by the support set, as the "
        "paper tests, with the same trained learner" + (SMALLER_META_LSTM if cpu else ""),
        paired=True,
    )


def fixed_labels_omniglot(budget: Budget) -> Recipe:
    """MAML where each class has one label for good, and where labels are drawn anew."""
    tasks = replace(
        OMNIGLOT, split="maml", rotations="none", way=20, shot=1, query=5, train_query=5
    )
    if budget == "cpu":
        tasks = replace(tasks, train_classes=100)
    steps = 5000 if budget == "cpu" else 60000
    training = TrainingSettings(
        steps=steps,
        meta_batch=2 if budget == "cpu" else 16,
        validate_every=steps,  # the last network counts, not the best before it had memorised
        validation_episodes=50,
    )
    filters = 32 if budget == "cpu" else 64
    learner = MAMLSettings(
        NetworkSettings("conv4-stride", filters=filters),
        inner_rate=0.1,
        inner_steps=1 if budget == "cpu" else 5,
        test_steps=5,
    )
    fixed, anew = (replace(tasks, fixed_labels=value) for value in (True, False))
    memorising, adapting = (RunSettings(learner, of, training) for of in (fixed, anew))
    unadapted = (("test_steps", 0),)
    return Recipe(
        "MAML with fixed labels: tasks that are not mutually exclusive, Omniglot 20-way 1-shot",
        "Yin et al. 2020, table 4 (7.8 %); Finn et al. 2017, table 1 (95.8 %)",
        (
            Figure("fixed labels", memorising, fixed, 7.8, episodes=600),
            Figure("labels drawn anew", adapting, anew, 95.8, episodes=600),
            *(
                Figure(
                    f"{label}, training characters, no inner step",
                    run,
                    of,
                    None,
                    options=unadapted,
                    episodes=600,
                    part="train",
                )
                for label, run, of in (
                    ("fixed labels", memorising, fixed),
                    ("labels drawn anew", adapting, anew),
                )
            ),
        ),
        ""
        if budget == "full"
        else "100 training characters, so that there is time to learn them by heart; 5,000 "
        "meta-steps of 2 tasks, 32 filters, 1 inner step in training and 5 at test; no rotations",
    )
