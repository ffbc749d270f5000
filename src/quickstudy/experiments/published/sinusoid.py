"""Rows on sine curves."""

from __future__ import annotations

from quickstudy.experiments.published.recipe import Budget, Figure, Recipe, same_budget
from quickstudy.settings.learner import LearnerSettings
from quickstudy.settings.learners import (
    ANILSettings,
    BOILSettings,
    CAVIASettings,
    EvolutionMAMLSettings,
    ImplicitMAMLSettings,
    MAMLPlusPlusSettings,
    MAMLSettings,
    MetaSGDSettings,
    MTNetSettings,
    MultiTaskSettings,
    ReptileSettings,
    TAMLSettings,
)
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings


def maml_sinusoid(budget: Budget) -> Recipe:
    """MAML on sine curves: the full protocol on either budget."""
    run = RunSettings(
        MAMLSettings(inner_steps=1, test_steps=5),
        TaskSettings(tasks="sinusoid", shot=5, query=100, train_shot=5, train_query=10),
        TrainingSettings(steps=70000, meta_batch=25, validate_every=2000, validation_episodes=500),
    )
    return Recipe(
        "MAML on the sinusoid, 5-shot, mean squared error",
        "Finn et al. 2017, section 5.1 and figure 3",
        tuple(
            Figure(
                f"after {n} step{'s' if n > 1 else ''}",
                run,
                run.tasks,
                p,
                options=(("test_steps", n),),
                episodes=10_000,  # a few tasks have large errors, so a mean needs many
            )
            for n, p in ((1, 0.67), (5, 0.38), (10, 0.35))
        ),
        "trained with 5 support points, as tested; 10,000 test tasks instead of 600",
    )


def metasgd_sinusoid(budget: Budget) -> Recipe:
    """Meta-SGD on sine curves, trained with as many points as it is tested with."""
    steps = 10_000 if budget == "cpu" else 60_000

    def run(shot: int) -> RunSettings:
        return RunSettings(
            MetaSGDSettings(),
            TaskSettings(tasks="sinusoid", shot=shot, query=100, train_query=10),
            TrainingSettings(
                steps=steps, meta_batch=4, validate_every=steps // 10, validation_episodes=500
            ),
        )

    return Recipe(
        "Meta-SGD on the sinusoid, mean squared error after 1 step",
        "Li et al. 2017, table 1",
        tuple(
            Figure(f"{shot}-shot", run(shot), run(shot).tasks, published, episodes=10_000)
            for shot, published in ((5, 0.90), (10, 0.53))
        ),
        "10,000 test tasks instead of 100" + ("; 10,000 meta-steps" if budget == "cpu" else ""),
    )


def gradient_sinusoid(budget: Budget) -> Recipe:
    """The gradient-based methods on sine curves, trained and tested with 10 points."""
    steps = 10_000 if budget == "cpu" else 60_000
    tasks = TaskSettings(tasks="sinusoid", shot=10, query=100, train_shot=10, train_query=10)
    learners: dict[str, LearnerSettings] = {
        "MAML": MAMLSettings(),
        "first-order MAML": MAMLSettings(first_order=True),
        "ANIL": ANILSettings(),
        "BOIL": BOILSettings(),
        "Meta-SGD": MetaSGDSettings(),
        "MAML++": MAMLPlusPlusSettings(annealing=1000, rate_speed=0.02),
        "CAVIA": CAVIASettings(inner_steps=1),
        "T-net": MTNetSettings(masks=False),
        "MT-net": MTNetSettings(),
        "TAML, Theil": TAMLSettings(measure="theil"),
        "Reptile": ReptileSettings(
            inner_steps=5, test_steps=32, inner_optimizer="sgd", inner_batch=10, test_batch=10
        ),
        "iMAML": ImplicitMAMLSettings(inner_optimizer="adam", inner_rate=0.01),
        "ES-MAML": EvolutionMAMLSettings(),
        "joint training": MAMLSettings(inner_steps=0, test_steps=5),
        "multi-task training": MultiTaskSettings(training_tasks=100, mean_head=True),
    }
    return Recipe(
        "Gradient-based methods on the sinusoid, 10-shot, mean squared error",
        "no published table: a comparison on the same training and test episodes",
        same_budget(learners, tasks, steps, meta_batch=4, validation_episodes=500),
        f"{steps:,} meta-steps of 4 tasks for every method; Reptile takes 5 inner steps in "
        "training and 32 at test, MAML++ 5 and iMAML 16 (of Adam), the others 1; multi-task "
        "training has 100 curves to train on, and takes 300 steps of Adam on a new head",
        paired=True,
    )


def pretrained_sinusoid(budget: Budget) -> Recipe:
    """One network trained on all sine curves jointly, then fine-tuned."""
    run = RunSettings(
        MAMLSettings(inner_steps=0, inner_rate=0.02, test_steps=5),
        TaskSettings(tasks="sinusoid", shot=5, query=100, train_shot=5, train_query=10),
        TrainingSettings(steps=70000, meta_batch=25, validate_every=2000, validation_episodes=500),
    )
    return Recipe(
        "Joint training on all sinusoids, then fine-tuning, 5-shot, mean squared error",
        "Finn et al. 2017, section 5.1 and figure 3 (pretrained)",
        tuple(
            Figure(
                f"after {n} step{'s' if n > 1 else ''}",
                run,
                run.tasks,
                p,
                options=(("test_steps", n),),
                episodes=10_000,
            )
            for n, p in ((1, 2.41), (5, 2.23), (10, 2.19))
        ),
        "MAML without inner steps in training; 10,000 test tasks instead of 600; the inner rate "
        "at test is that of MAML",
    )
