"""MNIST with few training images: does augmentation help whose strength is learned?

Half of the images are trained on, and strengths are learned so that a step on the changed half
lowers the loss on the other. Then a new network is trained on all of them with these strengths.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.experiments.example_weights import (
    CLEAN,
    Data,
    WeightsMNIST,
    prepare,
    tested,
    train_on,
)
from quickstudy.files import write_json
from quickstudy.learners.bilevel.training_data import NoisyInputs, TrainingData, WarpedInputs
from quickstudy.runs.evidence import provenance, require_results

SETTINGS = WeightsMNIST(steps=3_000)

RATE = 0.01
"""Of the logarithms of strengths."""

STARTS: dict[str, TrainingData] = {
    "noise": NoisyInputs(jnp.log(0.05)),
    "turning, scaling, moving": WarpedInputs(jnp.log(jnp.asarray([0.05, 0.05, 0.5]))),
}


def learned(data: Data, start: TrainingData, *, show_progress: bool = False) -> TrainingData:
    """`start` after training on half of the clean images for the other half's sake."""
    half, other = (
        jax.tree.map(lambda x, part=part: x[part], data.clean)
        for part in (slice(None, CLEAN // 2), slice(CLEAN // 2, None))
    )
    return train_on(SETTINGS, half, other, start, RATE, show_progress=show_progress).data


def measure_augmentation(path: Path, *, show_progress: bool = True) -> dict[str, Any]:
    """MNIST with 1,000 training images: augmentation of a learned strength."""
    require_results(path)
    data = prepare(SETTINGS)
    figures = []

    def add(label: str, start: TrainingData, *, learn: bool) -> None:
        started = time.monotonic()
        strengths = learned(data, start, show_progress=show_progress) if learn else start
        learner = train_on(
            SETTINGS, data.clean, data.clean, strengths, rate=0.0, show_progress=show_progress
        )
        seconds = time.monotonic() - started
        found = [np.exp(np.asarray(x, float)).round(3).tolist() for x in jax.tree.leaves(strengths)]
        figure = tested(label, learner, data.test)
        figure["training"] = {**asdict(SETTINGS), "strengths": found, "seconds": seconds}
        figures.append(figure)

    add("images as they are", TrainingData(), learn=False)
    for label, start in STARTS.items():
        add(f"{label}, as at the start", start, learn=False)
        add(f"{label}, learned", start, learn=True)
    told = "; ".join(f"{f['label']} {f['training']['strengths'][0]}" for f in figures[1:])
    row = {
        "recipe": "augmentation-mnist",
        "title": "Learned augmentation: MNIST, 1,000 training images",
        "source": "no published figure",
        "budget": "cpu",
        "differences": "one test of 10,000 images, counted as episodes; strengths learned on one "
        "half for the other, then held while a new network is trained on both. Standard "
        "deviations, of pixels' values; of radians, logarithm of scale, pixels: " + told,
        "command": "quickstudy reproduce augmentation-mnist",
        **provenance(),
        "figures": figures,
    }
    write_json(path, row)
    return row
