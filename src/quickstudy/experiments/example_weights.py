"""MNIST with wrong labels: does weighing the training examples help, and whom does it blame?"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from quickstudy.datasets import mnist
from quickstudy.evaluation import Met, Result
from quickstudy.files import write_json
from quickstudy.learners.bilevel.training_data import (
    FreeWeights,
    LearnedData,
    LossWeights,
    TrainingData,
)
from quickstudy.likelihood import Categorical
from quickstudy.networks import MLP, WithHead
from quickstudy.runs.evidence import provenance, require_results
from quickstudy.task import Examples
from quickstudy.tasks.mislabelled import Mislabelled, as_numbers, flipped
from quickstudy.training import meta_train

CLASSES = 10
CLEAN, HELD_OUT = 1_000, 5_000
"""Training images whose labels are known to be right, and some to choose settings on."""

Weighting = Literal["none", "free", "of loss"]


@dataclass(frozen=True)
class WeightsMNIST:
    """A fully connected network, Adam for it and for the weights."""

    share: float = 0.4
    """Of the training labels, exchanged for another class."""
    hidden: tuple[int, ...] = (256, 256)
    steps: int = 6_000
    batch: int = 128
    learning_rate: float = 2e-3
    rate_of_weights: float = 0.05
    """Of free weights; a network of the loss learns at `learning_rate`."""
    rate_ahead: float = 0.1
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Data:
    """MNIST's training images, cut in three, and the test images."""

    noisy: Examples
    wrong: np.ndarray
    """Which labels of `noisy` are not right."""
    clean: Examples
    held_out: Examples
    test: Examples


def prepare(settings: WeightsMNIST) -> Data:
    """Cut and mislabelled by the seed. Raises `UserError` where MNIST cannot be had."""
    digits = mnist.load()
    order = np.random.default_rng(settings.seed).permutation(len(digits.train_y))
    clean, held_out, rest = np.split(order, [CLEAN, CLEAN + HELD_OUT])
    y, wrong = flipped(digits.train_y[rest], settings.share, CLASSES, settings.seed)

    def chosen(rows: np.ndarray) -> Examples:
        return Examples(jnp.asarray(digits.train_x[rows]), jnp.asarray(digits.train_y[rows]))

    return Data(
        noisy=Examples(jnp.asarray(digits.train_x[rest]), jnp.asarray(y)),
        wrong=wrong,
        clean=chosen(clean),
        held_out=chosen(held_out),
        test=Examples(jnp.asarray(digits.test_x), jnp.asarray(digits.test_y)),
    )


def train(
    settings: WeightsMNIST, data: Data, weighting: Weighting, *, show_progress: bool = False
) -> LearnedData:
    """The network and its weights after training on `data.noisy`."""
    for_weights = jax.random.split(jax.random.key(settings.seed), 3)[2]
    made: dict[Weighting, TrainingData] = {
        "none": TrainingData(),
        "free": FreeWeights(jnp.zeros(len(data.noisy.y))),
        "of loss": LossWeights(key=for_weights),
    }
    rate = settings.rate_of_weights if weighting == "free" else settings.learning_rate
    return train_on(
        settings, data.noisy, data.clean, made[weighting], rate, show_progress=show_progress
    )


def train_on(
    settings: WeightsMNIST,
    training: Examples,
    clean: Examples,
    data: TrainingData,
    rate: float,
    *,
    show_progress: bool = False,
) -> LearnedData:
    """The network after training on `training` as changed by `data`, and `data` after learning at
    this rate from `clean`."""
    for_body, for_head, _ = jax.random.split(jax.random.key(settings.seed), 3)
    body = MLP(training.x.shape[1:], hidden=settings.hidden, key=for_body)
    learner = LearnedData(WithHead(body, CLASSES, key=for_head), data, settings.rate_ahead)
    optimizers: dict[Any, Any] = {
        "network": optax.adam(settings.learning_rate),
        "data": optax.adam(rate),
    }
    optimizer = optax.partition(
        optimizers, lambda tree: jax.tree_util.tree_map_with_path(lambda p, _: p[0].name, tree)
    )
    trained = meta_train(
        learner,
        Mislabelled(training, clean, CLASSES, settings.batch),
        optimizer,
        steps=settings.steps,
        seed=settings.seed,
        show_progress=show_progress,
    )
    assert isinstance(trained, LearnedData)
    return trained


@eqx.filter_jit
def score(learner: LearnedData, examples: Examples) -> tuple[dict[str, Any], Any]:
    """Accuracy and loss of each example, and the reliability diagram."""
    likelihood = Categorical(CLASSES)
    logits = learner.network(as_numbers(examples.x))[0]
    correct = (jnp.argmax(logits, axis=-1) == examples.y).astype(float)
    nll = likelihood.negative_log_likelihood(logits, examples.y)
    return {"accuracy": correct, "nll": nll}, likelihood.calibration(logits, examples.y)


def tested(label: str, learner: LearnedData, test: Examples) -> dict[str, Any]:
    """The cell of a row, without its training."""
    started = time.monotonic()
    metrics, bins = jax.device_get(score(learner, test))
    seconds = time.monotonic() - started
    result = Result(
        metrics,
        np.asarray(bins, float),
        "accuracy",
        higher_is_better=True,
        tasks=Met({"data": "mnist", "episodes": len(test.y)}),
        learner={"batch norm": "none"},
        seconds=seconds,
    )
    return {"label": label, "metric": "accuracy", **result.summary(), "published": None}


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


def measure_weights(path: Path, *, show_progress: bool = True) -> dict[str, Any]:
    """MNIST with 40 % of its training labels wrong: examples weighed by 1,000 clean ones."""
    require_results(path)
    settings = WeightsMNIST()
    data = prepare(settings)
    alone = Data(data.clean, np.zeros(CLEAN, bool), data.clean, data.held_out, data.test)
    cases: list[tuple[str, Data, Weighting]] = [
        ("all examples count the same", data, "none"),
        ("the 1,000 clean ones alone", alone, "none"),
        ("a weight for each example", data, "free"),
        ("weights by a network of the loss", data, "of loss"),
    ]
    figures = []
    told = []
    for label, chosen, weighting in cases:
        started = time.monotonic()
        learner = train(settings, chosen, weighting, show_progress=show_progress)
        seconds = time.monotonic() - started
        figure = tested(label, learner, data.test)
        figure["training"] = {**asdict(settings), "weighting": weighting, "seconds": seconds}
        if weighting != "none":
            v = np.asarray(weights(learner, data.noisy))
            figure["area under curve"] = area_under_curve(v, ~data.wrong)
            told.append(f"{figure['area under curve']:.3f} ({label})")
        figures.append(figure)
    row = {
        "recipe": "weights-mnist",
        "title": "Learned example weights: MNIST, 40 % of training labels wrong",
        "source": "after Ren et al. 2018 and Shu et al. 2019; no published figure",
        "budget": "cpu",
        "differences": "one test of 10,000 images, counted as episodes; a right label has the "
        f"larger weight of two with probability {', '.join(told)}",
        "command": "quickstudy reproduce weights-mnist",
        **provenance(),
        "figures": figures,
    }
    write_json(path, row)
    return row
