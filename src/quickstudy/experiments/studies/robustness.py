"""How far does a learner get from what it was trained on? (Finn and Levine, ICLR 2018)

A learner that adapts by gradient descent is a learning procedure that goes on working where a
trained one has not been: it can take more steps than in training (section 6.2, figure 3), its
tasks can be pushed out of the training distribution (figure 4: digits sheared and scaled), and
theory says that it needs depth to be universal (section 4; figure 5).

Those of `on_omniglot` are compared on the same episodes; one that takes no steps has no line in
the second panel. Another learner is one more entry there.

Differences from the paper: prototypical networks stand for the learners without gradient steps;
5-way 1-shot with transductive batch norm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import jax.numpy as jnp

from quickstudy.data.kind import Classes
from quickstudy.evaluation import evaluate
from quickstudy.experiments.diagrams import Panel
from quickstudy.experiments.published.gradient import gradient_omniglot, maml_omniglot
from quickstudy.experiments.published.recipe import Budget
from quickstudy.experiments.published.sinusoid import maml_sinusoid
from quickstudy.experiments.studies.study import Study, Trained
from quickstudy.settings.learners import MAMLSettings, ProtoNetSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.tasks.distorted import Warped
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.sinusoid import Sinusoid

EPISODES = 600
SINUSOIDS = 4000
STEPS = (0, 1, 2, 3, 5, 10, 20)
SHEARS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SCALES = (0.4, 0.55, 0.7, 0.85, 1.0, 1.15, 1.3)
DEPTHS = (1, 2, 3, 4)


def on_omniglot(budget: Budget) -> dict[str, RunSettings]:
    """The learners, trained on the same classes with the same network."""
    small = budget == "cpu"
    maml = (gradient_omniglot if small else maml_omniglot)(budget).figures[0].run
    assert isinstance(maml.learner, MAMLSettings)
    protonet = RunSettings(
        ProtoNetSettings(maml.learner.network, normalisation="batch"),
        replace(maml.tasks, train_way=20, train_query=5),
        TrainingSettings(
            steps=1500 if small else 30000,
            decay="halve",
            halve_every=500 if small else 2000,
            validate_every=500,
            validation_episodes=100,
        ),
    )
    return {"MAML": maml, "ProtoNet": protonet}


def on_sinusoids(budget: Budget) -> dict[int, RunSettings]:
    """MAML by the number of hidden layers."""
    run = maml_sinusoid(budget).figures[0].run
    training = replace(run.training, steps=20000 if budget == "cpu" else 70000)
    return {
        depth: RunSettings(
            MAMLSettings(NetworkSettings("mlp", hidden=(40,) * depth), inner_steps=1, test_steps=5),
            run.tasks,
            training,
        )
        for depth in DEPTHS
    }


def panels(budget: Budget, trained: Trained) -> Iterator[Panel]:
    """More steps, other tasks, other depths."""
    by_depth = {depth: trained(run) for depth, run in on_sinusoids(budget).items()}

    def error(learner, steps: int):
        learner = dataclasses.replace(learner, test_steps=steps)
        return evaluate(learner, Sinusoid(5, 100), episodes=SINUSOIDS).estimate()

    yield Panel(
        "More inner steps than in training, sinusoid",
        "inner steps at test",
        "mse",
        {"MAML, trained with 1": {str(n): error(by_depth[2], n) for n in STEPS}},
    )

    yield from panels_on_omniglot(budget, trained)
    yield Panel(
        "Hidden layers of 40 units, sinusoid",
        "hidden layers",
        "mse",
        {
            f"MAML after {steps} step{'s' if steps > 1 else ''}": {
                str(depth): error(learner, steps) for depth, learner in by_depth.items()
            }
            for steps in (1, 5)
        },
    )


def panels_on_omniglot(budget: Budget, trained: Trained) -> Iterator[Panel]:
    """More steps, and characters sheared and scaled."""
    runs = on_omniglot(budget)
    learners = {name: trained(settings) for name, settings in runs.items()}
    tasks = runs["MAML"].tasks
    characters = cast(Classes, tasks.data).source("test")

    def accuracy(learner, shear: float = 0.0, scale: float = 1.0):
        source = Warped(characters, jnp.asarray(shear), jnp.asarray(scale))
        return evaluate(learner, FewShot(source, 5, 1, 15), episodes=EPISODES).estimate()

    yield Panel(
        "More inner steps than in training, Omniglot",
        "inner steps at test",
        "accuracy",
        {
            f"{name}, trained with {getattr(learner, 'train_steps', 0)}": {
                str(n): accuracy(dataclasses.replace(learner, test_steps=n)) for n in STEPS
            }
            for name, learner in learners.items()
            if hasattr(learner, "test_steps")
        },
    )
    yield Panel(
        "Characters sheared",
        "shear",
        "accuracy",
        {
            name: {f"{shear:g}": accuracy(learner, shear=shear) for shear in SHEARS}
            for name, learner in learners.items()
        },
    )
    yield Panel(
        "Characters scaled",
        "scale",
        "accuracy",
        {
            name: {f"{scale:g}": accuracy(learner, scale=scale) for scale in SCALES}
            for name, learner in learners.items()
        },
    )


STUDY = Study(
    "Universality and robustness",
    "Finn and Levine 2018",
    f"5-shot sinusoids with 100 queries, {SINUSOIDS} test tasks; Omniglot 5-way 1-shot, 15 queries "
    f"a class, {EPISODES} test episodes, transductive batch norm",
    panels,
)
