"""Multi-task learning: one trunk for all training tasks, and a head for each (Caruana 1997,
"Multitask learning"; the baseline of lectures on transfer).

A fixed list of T tasks is learned jointly, without adapting in training. For a new task the trunk
is fixed, and a head is fitted to the support set.

    min_{f, W_1, …, W_T} E_t E_{(x, y) ∈ D_t} L(f(x) W_t, y)                         training
    min_V Σ_{(x, y) ∈ D_tr} L(f(x) V, y)     from V = 0, or from V = 1/T Σ_t W_t     a new task

The support and query sets of a task are both training examples. The new head is fitted, for
example, by Adam: features grow in training, so a rate of plain gradient descent that is stable for
all tasks is slow."""

from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.learner import Metrics
from quickstudy.learners.adapted import NetworkPredictor
from quickstudy.learners.descent import descend
from quickstudy.learners.embedding import EmbeddingLearner
from quickstudy.likelihood import Likelihood
from quickstudy.networks.embedding import Embedding
from quickstudy.networks.layers import Linear
from quickstudy.networks.network import Statistics, WithHead
from quickstudy.task import Episode, Examples


@runtime_checkable
class Numbered(Protocol):
    """An episode of a fixed list of tasks, with its number."""

    number: Int[Array, ""]
    """The index of the task in the list."""


class MultiTask(EmbeddingLearner):
    """A trunk, and a head for each of the training tasks. Train it on `tasks.finite.Finite`.

    At test it normalises by the statistics of the training inputs. `mean_head` starts the head of a
    new task from the mean of all heads.

    >>> learner = MultiTask(WithHead(trunk, 1, key=key), 100, optax.adam(0.03), key=key)
    >>> meta_train(learner, Finite(Sinusoid(10, 10), 100), optax.adam(1e-3), steps=1000)
    """

    network: WithHead
    """The trunk with all heads: arrays of the head have a leading axis of tasks."""
    population: Statistics | None
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    mean_head: bool = eqx.field(static=True)

    def __init__(
        self,
        network: WithHead,
        tasks: int,
        optimizer: optax.GradientTransformation,
        *,
        steps: int = 300,
        mean_head: bool = False,
        key: PRNGKeyArray,
    ):
        """`network` has the trunk and the form of a head; `tasks` is T."""
        body, outputs, precision = network.body, network.outputs, network.precision
        heads = jax.vmap(lambda k: Linear(body.outputs, outputs, precision=precision, key=k))(
            jax.random.split(key, tasks)
        )
        self.network = eqx.tree_at(lambda n: n.head, network, heads)
        self.population = None
        self.optimizer = optimizer
        self.steps = steps
        self.mean_head = mean_head

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.network.body, self.population)

    @property
    def labels_are_names(self) -> bool:
        return not self.mean_head

    @property
    def absent_last(self) -> bool:
        return False

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Compute the loss of the task's own head, without adapting."""
        if not isinstance(task, Numbered):
            raise ValueError("a head for each task needs numbered tasks: a NumberedTask")
        head = jax.tree.map(lambda x: x[task.number], self.network.head)
        network = eqx.tree_at(lambda n: n.head, self.network, head)
        examples = jax.tree.map(lambda *parts: jnp.concatenate(parts), task.support, task.query)
        predictions, _ = network(examples.x)
        loss = task.likelihood.mean_loss(predictions, examples.y)
        return loss, task.likelihood.metrics(predictions, examples.y)

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> NetworkPredictor:
        if self.network.outputs != likelihood.size:
            raise ValueError(
                f"this learner's heads have {self.network.outputs} outputs, the task needs "
                f"{likelihood.size}"
            )
        features = self.embedding(support.x)
        start = jax.tree.map(
            lambda x: jnp.mean(x, 0) if self.mean_head else jnp.zeros_like(x[0]), self.network.head
        )
        head = descend(
            lambda head: likelihood.mean_loss(head(features), support.y),
            start,
            self.optimizer,
            self.steps,
        )
        network = eqx.tree_at(lambda n: n.head, self.network, head)
        return NetworkPredictor(network, self.population)
