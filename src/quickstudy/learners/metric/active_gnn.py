"""Graph networks that ask for labels (Garcia and Bruna, ICLR 2018, section 3 and 5.2.3).

Before its last layer the graph network chooses the unlabelled node whose label it asks for:

    a = softmax(g(x_1^(k), H_1), …, g(x_r^(k), H_r))    over the unlabelled nodes, g a small network

with x^(k) the nodes after all layers except the last, and H_i the entropy of its answer for i. At
test it asks for the node with the largest a_i. In training a few random questions i ∈ Q are tried:
the true label of each is added to the graph, and the loss of the queries, L_i, measures the
question. The network learns from the mean of L_i, and g from the losses weighted by its attention:

    min Σ_{i ∈ Q} L_i / |Q|   +   Σ_{i ∈ Q} a_i L_i / Σ_{i ∈ Q} a_i

where the first term trains only the network and the second only g.

Differences from the paper: it asks once for each task, before it sees the queries (`acquire` reads
only the support set), while the paper's graphs hold their query; the answer is part of the graph
from the first layer on, so the result is an ordinary support set with one more label. The paper
draws one question by a, and the loss reaches the whole network through the weight a_i of the
answer; here questions are compared, and asking does not change the training of the network. The
paper's g reads only x^(1)."""

from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from quickstudy.learner import AskingLearner, Metrics
from quickstudy.learners.metric.gnn import GNN, Graph
from quickstudy.likelihood import Likelihood, entropy
from quickstudy.networks.layers import Linear
from quickstudy.networks.network import Normalisation
from quickstudy.task import Episode, Examples, TaskDistribution

QUESTIONS = 3


@runtime_checkable
class Answered(Protocol):
    """An episode with the labels that can be asked for."""

    answers: Int[Array, " n"]
    """The true label of each support example, -1 where there is none."""


class ActiveGNN(AskingLearner):
    """A graph network, and g, which computes the attention of the nodes.

    >>> learner = ActiveGNN(GNN(Conv4((28, 28, 1), key=key), way=5, key=key), key=key)
    >>> learner.acquire(support, Categorical(5), key=key).shape
    (25,)
    """

    gnn: GNN
    attention: tuple[Linear, Linear]

    def __init__(self, gnn: GNN, *, key: PRNGKeyArray):
        width = gnn.layers[-1].theta.shape[1] + 1  # of x^(k), and H
        first, second = jax.random.split(key)
        self.gnn = gnn
        self.attention = (Linear(width, width, key=first), Linear(width, 1, key=second))

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Graph:
        return self.gnn.adapt(support, likelihood, key=key)

    def acquire(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, " n"]:
        graph = self.adapt(support, likelihood, key=key)
        first, second = self.attention
        nodes = self.gnn.hidden(graph.nodes, graph.present)
        seen = jnp.column_stack([nodes, entropy(graph(support.x))])
        seen = jax.lax.stop_gradient(seen)
        return second(jax.nn.leaky_relu(first(seen)))[:, 0]

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """The query loss after one label is revealed, a mean over `QUESTIONS` candidates, plus a
        term that trains the attention alone: the attention-weighted loss minus that mean. On an
        episode without answers, the loss of the graph network."""
        if not isinstance(task, Answered):
            return self.gnn.loss(task, key=key)
        support, likelihood = task.support, task.likelihood
        questions = some_of(support.y < 0, QUESTIONS, key=key)

        def once_told(question: Int[Array, ""]):
            told = support.y.at[question].set(task.answers[question])
            predictions = self.adapt(Examples(support.x, told), likelihood, key=key)(task.query.x)
            loss = likelihood.mean_loss(predictions, task.query.y)
            return loss, likelihood.metrics(predictions, task.query.y)

        losses, metrics = jax.vmap(once_told)(questions)
        wanted = self.acquire(support, likelihood, key=key)[questions]
        better = jax.nn.softmax(wanted) @ jax.lax.stop_gradient(losses - jnp.mean(losses))
        return jnp.mean(losses) + better, jax.tree.map(jnp.mean, metrics)

    def settle(self, tasks: TaskDistribution[Episode], *, key: PRNGKeyArray) -> "ActiveGNN":
        return eqx.tree_at(lambda a: a.gnn, self, self.gnn.settle(tasks, key=key))

    @property
    def normalised_by(self) -> Normalisation | None:
        return self.gnn.normalised_by

    @property
    def uses_unlabelled(self) -> bool:
        return self.gnn.uses_unlabelled

    @property
    def labels_are_names(self) -> bool:
        return False

    @property
    def absent_last(self) -> bool:
        return False


def some_of(allowed: Bool[Array, " n"], count: int, *, key: PRNGKeyArray) -> Int[Array, " count"]:
    """Draw the indices of `count` different allowed examples, all choices equally likely; take
    others only where there are too few."""
    noise = jnp.where(allowed, jax.random.uniform(key, allowed.shape), -1.0)
    return jax.lax.top_k(noise, min(count, len(allowed)))[1]
