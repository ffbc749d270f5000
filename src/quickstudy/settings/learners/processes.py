"""Options of the learners that read a set as a stochastic process or a distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from quickstudy.errors import UserError
from quickstudy.settings.learner import (
    Flat,
    LearnerSettings,
    NetworkSettings,
    Problem,
    at_least,
    layers_at_most,
)

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from quickstudy.learner import Learner


@dataclass(frozen=True)
class CNP(LearnerSettings):
    """Conditional neural processes: the mean of what is read of each example, and attention."""

    name: ClassVar[str] = "cnp"
    defaults: ClassVar[dict[str, Any]] = {"steps": 20000, "meta_batch": 16, "tasks_at_once": 16}

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    """What sees inputs where targets are classes; numbers are taken as they are elsewhere."""
    width: int = 128
    """Of the encoder, the decoder and what is read of an example."""
    layers: int = 4
    """Of the encoder."""
    attention: bool = False
    """Each query has a mean of its own, under weights that compare places."""
    heads: int = 8
    """With attention: how many such means, beside each other."""

    def __post_init__(self):
        at_least(self, width=1, layers=1, heads=1)
        layers_at_most(self, "layers")
        if self.attention and self.width % self.heads:
            raise UserError(f"--heads {self.heads}: --width {self.width} is no multiple of it")

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.memory import cnp
        from quickstudy.likelihood import RealTargets
        from quickstudy.networks import MLP

        for_network, for_rest = jax.random.split(key)
        likelihood, targets = problem.likelihood, 0
        if isinstance(likelihood, RealTargets):
            self.only_reads_numbers(problem)
            targets = likelihood.targets
            network = MLP((math.prod(problem.shape),), hidden=(), key=for_network)
        else:
            self.only_classifies(problem)
            network = self.network.build(problem.shape, for_network)
        return cnp.CNP(
            network,
            likelihood,
            targets=targets,
            width=self.width,
            layers=self.layers,
            heads=self.heads if self.attention else 0,
            key=for_rest,
        )


@dataclass(frozen=True)
class Statistician(LearnerSettings):
    """The Neural Statistician: a generative model of data sets, and what a set has in common."""

    name: ClassVar[str] = "statistician"
    defaults: ClassVar[dict[str, Any]] = {"steps": 10000, "train_way": 16, "train_query": 4}

    network: Annotated[NetworkSettings, Flat] = field(default_factory=NetworkSettings)
    context: int = 64
    """Numbers in the context of a set."""
    latent: int = 16
    """Numbers that an example has beside it."""
    width: int = 256
    """Of the fully connected layers."""
    halve_every_steps: int = 1000
    """Reconstruction counts more at first; by half as much more after each so many steps."""

    def __post_init__(self):
        at_least(self, context=1, latent=1, width=1, halve_every_steps=1)

    def build(self, problem: Problem, key: PRNGKeyArray) -> Learner:
        import jax

        from quickstudy.learners.memory import statistician

        self.only_classifies(problem)
        self.only_reads_numbers(problem)
        for_network, for_rest = jax.random.split(key)
        return statistician.Statistician(
            self.network.build(problem.shape, for_network, auto="conv4-stride"),
            problem.shape,
            context=self.context,
            latent=self.latent,
            width=self.width,
            halve_every=self.halve_every_steps,
            key=for_rest,
        )
