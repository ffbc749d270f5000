"""Tasks and where they come from."""

import abc
from typing import Any, ClassVar, Generic, TypeVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, Shaped

from quickstudy.likelihood import Likelihood


class Examples(eqx.Module):
    """A small data set: inputs and targets with a leading example axis.

    Targets are integer labels (-1 for unlabelled, as in scikit-learn) or real vectors (NaN for
    unlabelled). A set of fewer examples than the arrays hold has unlabelled ones in the place of
    the others, so that one compiled program takes sets of any size.

    >>> import jax.numpy as jnp
    >>> Examples(jnp.zeros((5, 28, 28, 1)), jnp.arange(5)).x.shape
    (5, 28, 28, 1)
    """

    x: Shaped[Array, "n ..."]
    y: Shaped[Array, "n ..."]


class Episode(eqx.Module):
    """One task: a support set to learn from, a query set to be tested on, and the likelihood
    that says what a good prediction is. A method that needs more has a subclass beside its tasks.
    """

    support: Examples
    query: Examples
    likelihood: Likelihood
    in_turn: ClassVar[bool] = False
    """Whether the queries come one after the other, and the label of each is told once it has been
    predicted."""

    def metrics(
        self, predictions: Float[Array, "n size"], likelihood: Likelihood
    ) -> dict[str, Float[Array, ""]]:
        """Figures of predictions for the queries, as `likelihood` reads them; NaN where the
        episode does not have a figure."""
        return likelihood.metrics(predictions, self.query.y)


class Optimizee(eqx.Module):
    """A function f(θ) to minimise: the task of a learned optimiser, as an `Episode` is that of a
    learner.

    >>> problem = Quadratics(dimensions=10).sample(key)
    >>> problem.loss(problem.init(key), key)
    Array(109.94966, dtype=float32)
    """

    @abc.abstractmethod
    def init(self, key: PRNGKeyArray) -> PyTree:
        """Where a minimisation starts: any pytree of floating-point arrays."""

    @abc.abstractmethod
    def loss(self, parameters: PyTree, key: PRNGKeyArray) -> Float[Array, ""]:
        """f(θ), or its mean over the minibatch that `key` stands for."""


Task = TypeVar("Task")


class TaskDistribution(eqx.Module, Generic[Task]):
    """p(T). Most distributions give an `Episode`; one over optimisation problems gives an
    `Optimizee`.
    """

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray) -> Task:
        """One task: a pure function of the key, with shapes that do not depend on it, so that
        `jax.vmap(tasks.sample)(keys)` is a meta-batch."""

    def numbered(self, key: PRNGKeyArray, number: int | Int[Array, ""]) -> Task:
        """Task number `number` of those that are tested on: by default one drawn with its `key`.
        A fixed list gives its own."""
        return self.sample(key)

    @property
    def listed(self) -> int | None:
        """How many tasks there are to be tested on, where they are a fixed list."""
        return None

    @property
    def shared(self) -> "TaskDistribution[Task]":
        """The tasks that all learners meet alike: by default these. Where each learner changes its
        tasks, say by the labels that it asks for, the tasks before that. Tests on equal ones are
        compared task by task."""
        return self

    @abc.abstractmethod
    def protocol(self) -> dict[str, Any]:
        """The words that name this distribution beside every result: data, split, way, shot,
        queries, rotations … Every field that changes what `sample` gives has a word, but `episodes`
        and `seed` are the test's. Plain JSON values."""


class FixedTasks(TaskDistribution[Task]):
    """A fixed list of tasks, which lie along the leading axis of every array of `table`. A test
    meets each of them once, whatever its seed.

    >>> evaluate(learner, FixedTasks(runs, (("data", "lake-runs"),))).metrics["accuracy"].shape
    (20,)
    """

    table: Task
    words: tuple[tuple[str, Any], ...] = eqx.field(static=True)
    """Those of `protocol`."""

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
"""One to draw a task, and one for the learner."""


def task_keys(key: PRNGKeyArray, index: int | Int[Array, ""]) -> TaskKeys:
    """The keys of task number `index` under `key`: one to draw it, and one for the learner."""
    for_task, for_learner = jax.random.split(jax.random.fold_in(key, index))
    return for_task, for_learner
