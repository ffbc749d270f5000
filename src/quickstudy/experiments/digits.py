"""Runs on MNIST that learn a network's training data: weights of examples, or augmentation.

There are no episodes: a task is a batch of training images and a batch of clean ones, and the
network is tested on MNIST's test images (`learners/bilevel/`).
"""

from __future__ import annotations

import dataclasses
import functools
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from quickstudy.datasets import mnist
from quickstudy.errors import UserError
from quickstudy.evaluation import Met, Result
from quickstudy.learners.bilevel.training_data import (
    FreeWeights,
    LearnedData,
    LossWeights,
    NoisyInputs,
    TrainingData,
    WarpedInputs,
)
from quickstudy.likelihood import Categorical
from quickstudy.metagradients import Backpropagation
from quickstudy.networks import MLP, WithHead
from quickstudy.runs.kinds import KINDS
from quickstudy.runs.run import Kind, Prepared, Start, Training
from quickstudy.settings import saved
from quickstudy.settings.training import TrainingSettings
from quickstudy.task import Examples
from quickstudy.tasks.mislabelled import Mislabelled, as_numbers, flipped

SHAPE, CLASSES = (28, 28, 1), 10
CLEAN, HELD_OUT = 1_000, 5_000
"""Training images whose labels are known to be right, and some to choose settings on."""
CUT_SEED = 0
"""Decides which images are clean and which labels are wrong, for trainings from any seed."""


def training_of(steps: int) -> TrainingSettings:
    """One batch in a step, and the learning rate of the network."""
    return TrainingSettings(steps=steps, meta_batch=1, learning_rate=2e-3)


@dataclass(frozen=True)
class DigitsRun:
    """A training of a fully connected network on MNIST and of what changes its training data."""

    learned: Literal["nothing", "weights", "weights of loss", "noise", "warps"]
    """A weight for each example, weights by a network of the loss, or strengths of augmentation."""
    rate: float = 2e-3
    """The learning rate of what changes the data; 0 to leave it as it is at the start."""
    images: Literal["mislabelled", "clean", "half"] = "mislabelled"
    """What the network is trained on. `half`: half of the clean images, for the other half's
    sake."""
    share: float = 0.4
    """Of the mislabelled images, those whose label is exchanged for another class."""
    hidden: tuple[int, ...] = (256, 256)
    batch: int = 128
    rate_ahead: float = 0.1
    """α of the step ahead."""
    training: TrainingSettings = field(default_factory=lambda: training_of(6_000))
    start: DigitsRun | None = None
    """The training whose changes of the data are taken over, with a new network."""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return "digits-" + self.learned.replace(" ", "-")

    def resolved(self) -> DigitsRun:
        """Nothing is left to fill in."""
        return self

    def with_seed(self, seed: int) -> DigitsRun:
        """The same from another seed; what it begins with stays as it is."""
        return dataclasses.replace(self, training=dataclasses.replace(self.training, seed=seed))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, from which `from_json` makes the settings again."""
        return saved.to_json(self)

    @staticmethod
    def from_json(found: dict[str, Any]) -> DigitsRun:
        """The settings in a `config.json`. Raises `UserError` where they are not of this kind."""
        try:
            return saved.from_json({"run": found}, "run", DigitsRun)
        except ValueError as error:
            raise UserError(f"this is no run on digits: {error}") from error


@dataclass(frozen=True, eq=False)
class Digits:
    """MNIST's training images, cut in three, and the test images."""

    noisy: Examples
    wrong: np.ndarray
    """Which labels of `noisy` are not right."""
    clean: Examples
    held_out: Examples
    test: Examples


@functools.lru_cache(maxsize=1)
def digits(share: float) -> Digits:
    """MNIST with this share of wrong labels. Raises `UserError` where it cannot be had."""
    found = mnist.load()
    order = np.random.default_rng(CUT_SEED).permutation(len(found.train_y))
    clean, held_out, rest = np.split(order, [CLEAN, CLEAN + HELD_OUT])
    y, wrong = flipped(found.train_y[rest], share, CLASSES, CUT_SEED)

    def chosen(rows: np.ndarray) -> Examples:
        return Examples(jnp.asarray(found.train_x[rows]), jnp.asarray(found.train_y[rows]))

    return Digits(
        noisy=Examples(jnp.asarray(found.train_x[rest]), jnp.asarray(y)),
        wrong=wrong,
        clean=chosen(clean),
        held_out=chosen(held_out),
        test=Examples(jnp.asarray(found.test_x), jnp.asarray(found.test_y)),
    )


def build(settings: DigitsRun, examples: int, seed: int) -> LearnedData:
    """The untrained network, and what changes so many training examples at the start."""
    for_body, for_head, for_weights = jax.random.split(jax.random.key(seed), 3)
    made = {
        "nothing": TrainingData,
        "weights": lambda: FreeWeights(jnp.zeros(examples)),
        "weights of loss": lambda: LossWeights(key=for_weights),
        "noise": lambda: NoisyInputs(jnp.log(0.05)),
        "warps": lambda: WarpedInputs(jnp.log(jnp.asarray([0.05, 0.05, 0.5]))),
    }
    body = MLP(SHAPE, hidden=settings.hidden, key=for_body)
    network = WithHead(body, CLASSES, key=for_head)
    return LearnedData(network, made[settings.learned](), settings.rate_ahead)


def training(ready: Prepared, start: Start | None) -> Training:
    """Put together the network, the images, and Adam for each of the two parts."""
    settings: DigitsRun = ready.settings
    data = digits(settings.share)
    noisy, clean = data.noisy if settings.images == "mislabelled" else data.clean, data.clean
    if settings.images == "half":
        noisy, clean = (
            jax.tree.map(lambda x, part=part: x[part], data.clean)
            for part in (slice(None, CLEAN // 2), slice(CLEAN // 2, None))
        )

    def untrained(seed: int) -> LearnedData:
        made = build(settings, len(noisy.y), seed)
        if start is None:
            return made
        return LearnedData(made.network, start.learned.data, made.rate)

    assert settings.training.learning_rate is not None
    rates = {"network": settings.training.learning_rate, "data": settings.rate}
    optimizer = optax.partition(
        {part: optax.adam(rate) for part, rate in rates.items()},
        lambda tree: jax.tree_util.tree_map_with_path(lambda path, _: path[0].name, tree),
    )
    return Training(
        untrained,
        Mislabelled(noisy, clean, CLASSES, settings.batch),
        optimizer,
        Backpropagation(),
        validation=None,
        header={"examples": len(noisy.y)},
    )


def from_header(where: Path, header: dict[str, Any]) -> DigitsRun:
    """Read the settings from the header of the file."""
    return DigitsRun.from_json(header["configuration"])


def structure(settings: DigitsRun, header: dict[str, Any]) -> Any:
    """Give the structure of what was trained, with shapes for arrays."""
    return eqx.filter_eval_shape(lambda: build(settings, header["examples"], 0))


KINDS[DigitsRun] = Kind("learner.qs", "hidden and batch", training, from_header, structure)


@eqx.filter_jit
def score(learner: LearnedData, examples: Examples) -> tuple[dict[str, Any], Any]:
    """Accuracy and loss of each example, and the reliability diagram."""
    likelihood = Categorical(CLASSES)
    logits = learner.network(as_numbers(examples.x))[0]
    correct = (jnp.argmax(logits, axis=-1) == examples.y).astype(float)
    nll = likelihood.negative_log_likelihood(logits, examples.y)
    return {"accuracy": correct, "nll": nll}, likelihood.calibration(logits, examples.y)


def tested(learner: LearnedData, test: Examples) -> Result:
    """One test of all test images, each counted as an episode."""
    started = time.monotonic()
    metrics, bins = jax.device_get(score(learner, test))
    return Result(
        metrics,
        np.asarray(bins, float),
        "accuracy",
        higher_is_better=True,
        tasks=Met({"data": "mnist", "episodes": len(test.y)}),
        learner={"batch norm": "none"},
        seconds=time.monotonic() - started,
    )
