"""Reptile's meta-gradient: how far ordinary training on a task moves the parameters
(Nichol, Achiam and Schulman 2018, algorithm 2).

    g = θ - φ_k(θ, D)

A step of length ε against the mean of g is θ ← θ + ε/n Σ_i (φ_i - θ). Nothing is differentiated
but the inner steps' own losses.

What the inner optimiser remembers, Adam's moments, is never reset (section 6.1): each place of the
meta-batch carries it from the task of one meta-step to the task of the next.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray
from optax import OptState

from quickstudy.learner import Learner, Metrics
from quickstudy.metagradients.metagradient import Estimate, MetaGradient, Step
from quickstudy.task import Episode, TaskDistribution, TaskKeys


@runtime_checkable
class TrainsOnTasks(Protocol):
    """A learner that can be trained on one task as if there were no other."""

    def initial_moments(self) -> OptState:
        """What the inner optimiser remembers before the first task."""
        ...

    def trained(
        self, task: Episode, moments: OptState, *, key: PRNGKeyArray
    ) -> tuple[Learner, Metrics, OptState]:
        """The learner after training on the task, figures with `loss` among them, and what the
        inner optimiser remembers then."""
        ...


@dataclass(frozen=True)
class ReptileGradient(MetaGradient[OptState]):
    """θ - φ in the learner's structure, None where it has no number. Its state is what the inner
    optimiser remembers.

    >>> meta_train(learner, tasks, optax.sgd(1.0), steps=1000, meta_gradient=ReptileGradient())
    """

    def start(self, learner: TrainsOnTasks, tasks: TaskDistribution, key: PRNGKeyArray) -> OptState:
        return learner.initial_moments()

    def __call__(
        self, learner: Any, tasks: TaskDistribution, carried: OptState, keys: TaskKeys, step: Step
    ) -> Estimate[OptState]:
        for_task, for_learner = keys
        after, metrics, carried = learner.trained(tasks.sample(for_task), carried, key=for_learner)
        before, after = (eqx.filter(x, eqx.is_inexact_array) for x in (learner, after))
        return jax.tree.map(lambda theta, phi: theta - phi, before, after), metrics, carried
