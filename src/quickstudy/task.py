"""Tasks, and the distributions that they are drawn from."""

import abc
from typing import Any, ClassVar, Generic, TypeVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, Shaped

from quickstudy.likelihood import Likelihood


class Examples(eqx.Module):
    """A small data set: inputs and targets with a leading example axis.

    Targets are integer labels (-1 for unlabelled, as in scikit-learn) or real vectors (NaN for
    unlabelled). A set with fewer examples than the arrays hold is padded with unlabelled examples,
    so one compiled program takes sets of any size.

    >>> import jax.numpy as jnp
    >>> Examples(jnp.zeros((5, 28, 28, 1)), jnp.arange(5)).x.shape
    (5, 28, 28, 1)
    """

    x: Shaped[Array, "n ..."]
    y: Shaped[Array, "n ..."]


class Episode(eqx.Module):
    """One task: a support set to learn from, a query set to test on, and the likelihood that
    defines the loss. A method that needs more has a subclass in the file of its tasks."""

    support: Examples
    query: Examples
    likelihood: Likelihood
    in_turn: ClassVar[bool] = False
    """Whether the queries come one after the other, and the label of each is revealed after its
    prediction."""

    def metrics(
        self, predictions: Float[Array, "n size"], likelihood: Likelihood
    ) -> dict[str, Float[Array, ""]]:
        """Compute the metrics of predictions for the queries, as `likelihood` reads them; NaN where
        the episode does not have a metric."""
        return likelihood.metrics(predictions, self.query.y)


class Optimizee(eqx.Module):
    """A function f(θ) to minimise: the task of a learned optimiser, as an `Episode` is the task of
    a learner.

    >>> problem = Quadratics(dimensions=10).sample(key)
    >>> problem.loss(problem.init(key), key)
    Array(109.94966, dtype=float32)
    """

    @abc.abstractmethod
    def init(self, key: PRNGKeyArray) -> PyTree:
        """Draw the starting point of a minimisation: any pytree of floating-point arrays."""

    @abc.abstractmethod
    def loss(self, parameters: PyTree, key: PRNGKeyArray) -> Float[Array, ""]:
        """Compute f(θ), or its mean over the minibatch that `key` draws."""


Task = TypeVar("Task")


class TaskDistribution(eqx.Module, Generic[Task]):
    """A distribution of tasks p(T). Most distributions draw an `Episode`; distributions of
    optimisation problems draw an `Optimizee`."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray) -> Task:
        """Draw a task. This is a pure function of the key, and shapes do not depend on the key, so
        `jax.vmap(tasks.sample)(keys)` is a meta-batch."""

    def numbered(self, key: PRNGKeyArray, number: int | Int[Array, ""]) -> Task:
        """Return test task number `number`: by default a task drawn with its `key`; in a fixed list
        the task with this number."""
        return self.sample(key)

    @property
    def listed(self) -> int | None:
        """The number of test tasks, where they are a fixed list; else None."""
        return None

    @property
    def shared(self) -> "TaskDistribution[Task]":
        """The tasks that are the same for all learners: by default these tasks. Where each learner
        changes its tasks, for example by the labels that it asks for, the tasks before the change.
        Results on equal tasks are compared task by task."""
        return self

    @abc.abstractmethod
    def protocol(self) -> dict[str, Any]:
        """Describe this distribution for results: data, split, way, shot, queries, rotations … as
        plain JSON values. Every field that changes the result of `sample` has an entry. The entries
        `episodes` and `seed` belong to the test."""


class FixedTasks(TaskDistribution[Task]):
    """A fixed list of tasks, along the leading axis of every array of `table`. A test takes each of
    them once, for any seed.

    >>> evaluate(learner, FixedTasks(runs, (("data", "lake-runs"),))).metrics["accuracy"].shape
    (20,)
    """

    table: Task
    words: tuple[tuple[str, Any], ...] = eqx.field(static=True)
    """The entries of `protocol`."""

    @property
    def listed(self) -> int:
        return len(jax.tree.leaves(self.table)[0])

    def numbered(self, key: PRNGKeyArray, number: int | Int[Array, ""]) -> Task:
        return jax.tree.map(lambda x: x[number], self.table)

    def sample(self, key: PRNGKeyArray) -> Task:
        return self.numbered(key, jax.random.randint(key, (), 0, self.listed))

    def protocol(self) -> dict[str, Any]:
        return dict(self.words)


Problems = TaskDistribution[Any]
"""A distribution of `Optimizee`s of some kind."""


TaskKeys = tuple[PRNGKeyArray, PRNGKeyArray]
"""A key to draw a task, and a key for the learner."""


def task_keys(key: PRNGKeyArray, index: int | Int[Array, ""]) -> TaskKeys:
    """Return the keys of task number `index` under `key`: one to draw it, and one for the
    learner."""
    for_task, for_learner = jax.random.split(jax.random.fold_in(key, index))
    return for_task, for_learner
