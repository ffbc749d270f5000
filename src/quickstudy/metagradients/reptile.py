"""Reptile's meta-gradient: how far ordinary training on a task moves the parameters
(Nichol, Achiam and Schulman 2018, algorithm 2).

    g = θ - φ_k(θ, D)

A step of length ε against the mean of g is θ ← θ + ε/n Σ_i (φ_i - θ). Nothing is differentiated
but the inner steps' own losses.
"""

from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from quickstudy.learner import Learner, Metrics
from quickstudy.task import Episode


@runtime_checkable
class TrainsOnTasks(Protocol):
    """A learner that can be trained on one task as if there were no other."""

    def trained(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Learner, Metrics]:
        """The learner after that, and figures with `loss` among them."""
        ...


def reptile(learner: TrainsOnTasks, task: Episode, key: PRNGKeyArray) -> tuple[Learner, Metrics]:
    """θ - φ in the learner's structure, None where it has no number, and the metrics."""
    after, metrics = learner.trained(task, key=key)
    before, after = (eqx.filter(x, eqx.is_inexact_array) for x in (learner, after))
    return jax.tree.map(lambda theta, phi: theta - phi, before, after), metrics
