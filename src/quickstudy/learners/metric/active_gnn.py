"""Graph networks that ask for labels (Garcia and Bruna, ICLR 2018, section 3 and 5.2.3).

After its first layer the graph network points at the unlabelled node whose label it wants:

    a = softmax(g(x_1^(1)), …, g(x_r^(1)))          over the unlabelled nodes, g a small network

At test the largest is asked about. In training one is drawn with these probabilities, its true
label is put on the graph, and the loss of the queries says how good a question it was: the draw is
a Gumbel-softmax whose forward value is one-hot and whose gradient is that of

    w = softmax((log a + Gumbel noise) / τ),   h(l_i) ← h(l_i) + w_i (h(true l_i) - h(l_i))

(straight through; Jang, Gu and Poole, and Maddison, Mnih and Teh, ICLR 2017). `asks="random"`
draws all alike: the baseline, trained as well to be told a label that it has not chosen.

Differences from the paper: it asks once for a task, before it sees the queries (`acquire` has the
support set alone), where the paper's graphs hold their query; the answer is on the graph from the
first layer on, so that what comes after is an ordinary support set with one more label; the paper
weights the answer by a_i in place of the straight-through w_i.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from quickstudy.learner import AskingLearner, Metrics
from quickstudy.learners.metric.gnn import GNN, Graph
from quickstudy.likelihood import Likelihood
from quickstudy.networks.layers import Linear
from quickstudy.networks.network import Normalisation
from quickstudy.task import ActiveEpisode, Episode, Examples, TaskDistribution

TEMPERATURE = 1.0


class ActiveGNN(AskingLearner):
    """A graph network, and g: what the nodes' attention is computed by.

    >>> learner = ActiveGNN(GNN(Conv4((28, 28, 1), key=key), way=5, key=key), key=key)
    >>> learner.acquire(support, Categorical(5), key=key).shape
    (25,)
    """

    gnn: GNN
    attention: tuple[Linear, Linear]
    asks: Literal["learned", "random"] = eqx.field(static=True)

    def __init__(
        self, gnn: GNN, asks: Literal["learned", "random"] = "learned", *, key: PRNGKeyArray
    ):
        width = gnn.layers[1].theta.shape[1]  # of x^(1)
        first, second = jax.random.split(key)
        self.gnn = gnn
        self.attention = (Linear(width, width, key=first), Linear(width, 1, key=second))
        self.asks = asks

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Graph:
        return self.gnn.adapt(support, likelihood, key=key)

    def acquire(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, " n"]:
        if self.asks == "random":
            raise ValueError(
                "--ask learned: this graph network was trained with --asks random and has not "
                "learned to ask: take random or uncertainty"
            )
        graph = self.adapt(support, likelihood, key=key)
        first, second = self.attention
        nodes = self.gnn.hidden(graph.nodes, graph.present, layers=1)
        return second(jax.nn.leaky_relu(first(nodes)))[:, 0]

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """That of the queries once a label has been asked for, where there is one to ask for."""
        if not isinstance(task, ActiveEpisode):
            return self.gnn.loss(task, key=key)
        support, likelihood = task.support, task.likelihood
        if self.asks == "random":
            wanted = jnp.zeros(len(support.y))
        else:
            wanted = self.acquire(support, likelihood, key=key)
        asked = one_of(wanted, support.y < 0, key=key)
        known, true = self.gnn.label_vectors(support.y), self.gnn.label_vectors(task.answers)
        labels = known + asked[:, None] * (true - known)
        predictor = self.gnn.graph(support.x, labels, jnp.ones(len(support.y), bool))
        predictions = predictor(task.query.x)
        loss = likelihood.mean_loss(predictions, task.query.y)
        return loss, likelihood.metrics(predictions, task.query.y)

    def settle(self, tasks: TaskDistribution[Episode], *, key: PRNGKeyArray) -> "ActiveGNN":
        return eqx.tree_at(lambda a: a.gnn, self, self.gnn.settle(tasks, key=key))

    @property
    def normalisation(self) -> Normalisation:
        return self.gnn.normalisation

    @property
    def transductive(self) -> bool:
        return self.gnn.transductive


def one_of(
    logits: Float[Array, " n"],
    allowed: Bool[Array, " n"],
    temperature: float = TEMPERATURE,
    *,
    key: PRNGKeyArray,
) -> Float[Array, " n"]:
    """One-hot: one of those allowed, with probabilities softmax(logits); its gradient is that of
    the softmax of logits and noise at this temperature."""
    noisy = jnp.where(allowed, logits + jax.random.gumbel(key, logits.shape), -1e9)
    soft = jax.nn.softmax(noisy / temperature)
    hard = jax.nn.one_hot(jnp.argmax(noisy), len(logits))
    return soft + jax.lax.stop_gradient(hard - soft)
