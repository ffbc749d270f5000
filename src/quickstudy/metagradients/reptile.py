"""Reptile's meta-gradient: the change of the parameters in ordinary training on a task (Nichol,
Achiam and Schulman 2018, algorithm 2).

    g = θ - φ_k(θ, D)

A step of length ε against the mean of g is θ ← θ + ε/n Σ_i (φ_i - θ). Only the losses of the inner
steps are differentiated.

The state of the inner optimiser, Adam's moments, is never reset (section 6.1): each place of the
meta-batch carries it from the task of one meta-step to the task of the next."""

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
    """A learner that can be trained on a single task."""

    def initial_moments(self) -> OptState:
        """Return the state of the inner optimiser before the first task."""
        ...

    def trained(
        self, task: Episode, moments: OptState, *, key: PRNGKeyArray
    ) -> tuple[Learner, Metrics, OptState]:
        """Return the learner after training on the task, metrics with `loss` among them, and the
        state of the inner optimiser."""
        ...


@dataclass(frozen=True)
class ReptileGradient(MetaGradient[OptState]):
    """θ - φ in the structure of the learner, None where a leaf is no number. Its state is the state
    of the inner optimiser.

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
