"""MNIST with few training images: does augmentation help whose strength is learned?

Half of the images are trained on, and strengths are learned so that a step on the changed half
lowers the loss on the other. Then a new network is trained on all of them with these strengths.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np

from quickstudy.evaluation import Result
from quickstudy.experiments.digits import DigitsRun, digits, tested, training_of
from quickstudy.experiments.published.recipe import OneTest, Recipe
from quickstudy.runs.saved import SavedRun

STEPS = 3_000
LEARNING_RATE = 0.01
"""Of the logarithms of strengths."""


def runs() -> dict[str, DigitsRun]:
    """Each augmentation as it is at the start, and learned."""
    made = {"images as they are": held("nothing")}
    for name, kind in (("noise", "noise"), ("turning, scaling, moving", "warps")):
        start = replace(held(kind), images="half", rate=LEARNING_RATE)
        made[f"{name}, as at the start"] = held(kind)
        made[f"{name}, learned"] = replace(held(kind), start=start)
    return made


def held(kind: Any) -> DigitsRun:
    """A training on all clean images with an augmentation of fixed strength."""
    return DigitsRun(kind, rate=0.0, images="clean", training=training_of(STEPS))


def recipe() -> Recipe:
    """The row of learned augmentation."""
    return Recipe(
        "Learned augmentation: MNIST, 1,000 training images",
        "no published figure",
        tests=tuple(OneTest(name, run, measured) for name, run in runs().items()),
        differences="one test of 10,000 images, counted as episodes; strengths learned on one "
        "half for the other, then held while a new network is trained on both. Standard "
        "deviations, of pixels' values; of radians, logarithm of scale, pixels: ",
        one_budget=True,
        found=lambda figures: "; ".join(
            f"{one['label']} {one['strengths'][0]}" for one in figures if one["strengths"]
        ),
    )


def measured(saved: SavedRun) -> tuple[Result, dict[str, Any]]:
    """The result on the test images, and the strengths of augmentation."""
    learner = saved.learner()
    strengths = jax.tree.leaves(learner.data)
    found = [np.exp(np.asarray(x, float)).round(3).tolist() for x in strengths]
    return tested(learner, digits(saved.settings.share).test), {"strengths": found}
