"""What both sides of a comparison are given, and what they must do."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

STEP = "a step"
EPISODE = "an episode"


class ConvParameters(NamedTuple):
    """One block's kernel (3, 3, c, d), and γ, β of its batch normalisation (d,)."""

    kernel: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray


class LinearParameters(NamedTuple):
    """W (inputs, outputs) and b (outputs,) of x W + b."""

    weight: np.ndarray
    bias: np.ndarray


class Moments(NamedTuple):
    """Mean and variance of each channel, (d,)."""

    mean: np.ndarray
    variance: np.ndarray


class EpisodeArrays(NamedTuple):
    """One task: inputs (n, ...) in float32, channels last; labels (n,) or targets (n, 1)."""

    support_x: np.ndarray
    support_y: np.ndarray
    query_x: np.ndarray
    query_y: np.ndarray


@dataclass(frozen=True)
class Problem:
    """The same numbers for everyone: where training starts from, and what it is trained on."""

    blocks: tuple[ConvParameters, ...] = ()
    linears: tuple[LinearParameters, ...] = ()
    moments: tuple[Moments, ...] = ()
    """Statistics to evaluate with, one for each block."""
    episodes: tuple[EpisodeArrays, ...] = ()
    """The meta-batch on which figures are compared."""
    pictures: np.ndarray | None = None
    """(classes, each, 28, 28, 1) in uint8: what episodes are drawn from."""


class Contender(Protocol):
    """One way to do a case's work."""

    def figures(self) -> dict[str, float]:
        """What must agree with the others' before anything is timed: on the problem's episodes,
        from the problem's parameters."""
        ...

    def run(self, steps: int) -> None:
        """Do the work so many times over, and wait until it is done."""
        ...


class LeftOut(Exception):
    """A peer that cannot do a case; the message says why, in a line."""
