"""Which problems an optimiser learns to minimise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quickstudy.errors import UserError
from quickstudy.numbers import at_least


@dataclass(frozen=True)
class ProblemSettings:
    """Which problems to minimise."""

    tasks: str = "quadratics"
    """quadratics, logistic, ackley, rastrigin, rosenbrock, styblinski; mnist or cifar10: networks
    that classify; several: one of each of five kinds, at once; or FILE.py, which defines your
    own."""
    dimensions: int = 10
    """Of quadratics, logistic regression and test functions."""
    hidden: tuple[int, ...] = (20,)
    """Widths of a network's dense layers."""
    kernels: tuple[int, ...] = ()
    """Kernels in each of a network's convolutional blocks, which come before."""
    activation: tuple[Literal["sigmoid", "tanh", "relu"], ...] = ("sigmoid",)
    """Of a network's units; where there are several, each network draws one."""
    batch: int = 128
    """Images in a minibatch."""
    image_size: int | None = None
    """MNIST is brought to this height and width, in pixels: smaller ones make smaller networks."""

    def __post_init__(self):
        at_least(self, dimensions=2, batch=1, image_size=4, hidden=1, kernels=1)
        if self.image_size is not None and self.tasks == "cifar10":
            raise UserError("--image-size is for mnist; cifar10 stays at 32 × 32")
        if not self.activation:
            raise UserError("--activation: name at least one")
