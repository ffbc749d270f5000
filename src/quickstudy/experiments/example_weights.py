"""MNIST with wrong labels: does weighing the training examples help, and whom does it blame?"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from quickstudy.evaluation import Result
from quickstudy.experiments.digits import CLASSES, DigitsRun, digits, tested
from quickstudy.experiments.published.recipe import OneTest, Recipe
from quickstudy.learners.bilevel.training_data import LearnedData
from quickstudy.likelihood import Categorical
from quickstudy.runs.saved import SavedRun
from quickstudy.task import Examples
from quickstudy.tasks.mislabelled import as_numbers

RUNS = {
    "all examples count the same": DigitsRun("nothing"),
    "the 1,000 clean ones alone": DigitsRun("nothing", images="clean"),
    "a weight for each example": DigitsRun("weights", rate=0.05),
    "weights by a network of the loss": DigitsRun("weights of loss"),
}
AREA = "area under curve"


def recipe() -> Recipe:
    """The row of learned example weights."""
    return Recipe(
        "Learned example weights: MNIST, 40 % of training labels wrong",
        "after Ren et al. 2018 and Shu et al. 2019; no published figure",
        tests=tuple(OneTest(name, run, measured) for name, run in RUNS.items()),
        differences="one test of 10,000 images, counted as episodes; a right label has the larger "
        "weight of two with probability ",
        one_budget=True,
        found=lambda figures: ", ".join(
            f"{one[AREA]:.3f} ({one['label']})" for one in figures if AREA in one
        ),
    )


def measured(saved: SavedRun) -> tuple[Result, dict[str, Any]]:
    """The result on the test images and, where weights are learned, how well they tell right labels
    from wrong ones."""
    learner, data = saved.learner(), digits(saved.settings.share)
    result = tested(learner, data.test)
    if saved.settings.learned == "nothing":
        return result, {}
    v = np.asarray(weights(learner, data.noisy))
    return result, {AREA: area_under_curve(v, ~data.wrong)}


@eqx.filter_jit
def weights(learner: LearnedData, examples: Examples) -> Any:
    """v of each training example, under the trained network."""
    logits = learner.network(as_numbers(examples.x))[0]
    losses = Categorical(CLASSES).negative_log_likelihood(logits, examples.y)
    return learner.data.weights(jnp.arange(len(examples.y)), losses)


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive scores above a negative, ties counting half.

    >>> area_under_curve(np.asarray([0.9, 0.2, 0.5]), np.asarray([True, False, False]))
    1.0
    """
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    n = int(positive.sum())
    above = ranks[positive].sum() - n * (n + 1) / 2
    return float(above / (n * (len(scores) - n)))
