"""Tasks and where they come from."""

import abc
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
from jaxtyping import Array, Int, PRNGKeyArray, Shaped

from quickstudy.likelihood import Likelihood


class Examples(eqx.Module):
    """A small data set: inputs and targets with a leading example axis.

    Targets are integer labels (-1 for unlabelled, as in scikit-learn) or real vectors.

    >>> import jax.numpy as jnp
    >>> Examples(jnp.zeros((5, 28, 28, 1)), jnp.arange(5)).x.shape
    (5, 28, 28, 1)
    """

    x: Shaped[Array, "n ..."]
    y: Shaped[Array, "n ..."]


class Episode(eqx.Module):
    """One task: a support set to learn from, a query set to be tested on, and the likelihood
    that says what a good prediction is.
    """

    support: Examples
    query: Examples
    likelihood: Likelihood


class NumberedEpisode(Episode):
    """An episode whose support examples are some of a fixed list, for learners that keep
    something for each of these."""

    numbers: Int[Array, " n"]
    """The place in that list of each support example."""


class ActiveEpisode(Episode):
    """An episode some of whose support examples are unlabelled, with what one would be told who
    asks for their labels."""

    answers: Int[Array, " n"]
    """The true label of each support example; -1 where it is of none of the task's classes."""


Task = TypeVar("Task")


class TaskDistribution(eqx.Module, Generic[Task]):
    """p(T). Most distributions give an `Episode`; one over optimisation problems or
    environments gives a task of its own, for learners that override `Learner.loss`.
    """

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray) -> Task:
        """One task: a pure function of the key, with shapes that do not depend on it, so that
        `jax.vmap(tasks.sample)(keys)` is a meta-batch."""

    @abc.abstractmethod
    def protocol(self) -> dict[str, Any]:
        """The words that name this distribution beside every result: data, split, way, shot,
        queries, rotations … Plain JSON values."""


def task_keys(key: PRNGKeyArray, index: int | Int[Array, ""]) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """The keys of task number `index` under `key`: one to draw it, and one for the learner."""
    for_task, for_learner = jax.random.split(jax.random.fold_in(key, index))
    return for_task, for_learner
