"""Few-shot learning with graph neural networks (Garcia and Bruna, ICLR 2018).

A query and the support set are the nodes of a complete graph, and messages between nodes carry
labels to the query. A node starts as the embedding of its image concatenated with its label:

    x_i^(0) = (φ(x_i), h(l_i))                                              (section 4.2.1)

with h(l) one-hot, and uniform for the query and for unlabelled examples. Unlabelled examples are
nodes like the others, so one method does few-shot and semi-supervised learning. Before each layer a
network computes a weight for each pair of nodes,

    Ã_ij = softmax_j MLP(|x_i - x_j|),  j ≠ i                               (eqs. 3, 4)
    Gc(x) = ρ(Σ_{B ∈ {1, Ã}} B x θ_B)                                       (eq. 2)

and its result is concatenated with the old values of the nodes: x^(k+1) = [x^(k), Gc(x^(k))]. In
the last layer, which has no ρ, the row of the query holds the logits.

Siamese and prototypical networks are special cases with adjacencies set by hand (section 4.1); a
test checks both.

Differences from the paper: each query of a task has its own graph, but all share the support set;
the graph's own layers are normalised node by node (layer normalisation), where the code normalises
by the batch, so the logits of a query depend on its graph alone; the edge network has no
normalisation and no dropout; unlabelled means uniform, as in the paper's text, where the code has
zeros. The embedding is any network."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from quickstudy.learner import Predictor
from quickstudy.learners.embedding import EmbeddingLearner
from quickstudy.likelihood import Categorical, Likelihood
from quickstudy.networks.embedding import Embedding
from quickstudy.networks.layers import Linear
from quickstudy.networks.network import Network, Normalisation, Statistics
from quickstudy.task import Examples


def graph_convolution(
    operators: Float[Array, "operators r v"],
    x: Float[Array, "v d"],
    theta: Float[Array, "operators d e"],
) -> Float[Array, "r e"]:
    """Compute Σ_B B x θ_B (eq. 2, without ρ), for the r of the v nodes that the operators have rows
    for.

    >>> graph_convolution(jnp.stack([jnp.eye(3), adjacency]), x, theta).shape     # x is (3, d)
    (3, 48)
    """
    return jnp.einsum("brv,vd,bde->re", operators, x, theta)


def softmax_over_neighbours(
    scores: Float[Array, "r v"], neighbours: Bool[Array, "r v"]
) -> Float[Array, "r v"]:
    """Compute Ã from the scores of the edge network: rows that sum to 1 over the neighbours of each
    node."""
    return jax.nn.softmax(jnp.where(neighbours, scores, -1e9))


class EdgeNetwork(eqx.Module):
    """MLP(|x_i - x_j|), one number for each pair (eq. 3), with hidden layers of widths 2 w, 2 w, w,
    w.

    Weights have the variance 2 / inputs (He et al. 2015), so scores differ from the start. With
    smaller weights every node would get the mean of all others, and learning would be slow at
    first."""

    layers: tuple[Linear, ...]

    def __init__(self, inputs: int, width: int, *, key: PRNGKeyArray):
        widths = (inputs, 2 * width, 2 * width, width, width, 1)
        keys = jax.random.split(key, len(widths) - 1)
        drawn = tuple(
            Linear(a, b, key=k) for a, b, k in zip(widths[:-1], widths[1:], keys, strict=True)
        )
        weights = lambda layers: [layer.weight for layer in layers]  # noqa: E731
        self.layers = eqx.tree_at(weights, drawn, replace_fn=lambda w: 6**0.5 * w)

    def __call__(
        self, one: Float[Array, "*a d"], other: Float[Array, "*b d"]
    ) -> Float[Array, "*n"]:
        h = jnp.abs(one - other)
        for layer in self.layers[:-1]:
            h = jax.nn.leaky_relu(layer(h))
        return self.layers[-1](h)[..., 0]

    def between_all(self, x: Float[Array, "v d"]) -> Float[Array, "v v"]:
        """Compute the score of every pair of nodes. Each pair is computed once: |x_i - x_j| is
        symmetric."""
        one, other = np.triu_indices(len(x))
        number = np.zeros((len(x), len(x)), int)
        number[one, other] = number[other, one] = np.arange(len(one))
        return self(x[one], x[other])[number]


class GraphLayer(eqx.Module):
    """One graph convolution with the adjacency of its edge network."""

    edges: EdgeNetwork
    theta: Float[Array, "2 d e"]
    bias: Float[Array, " e"]

    def __init__(self, inputs: int, outputs: int, edge_width: int, *, key: PRNGKeyArray):
        for_edges, for_theta = jax.random.split(key)
        r = (2 * inputs) ** -0.5
        self.edges = EdgeNetwork(inputs, edge_width, key=for_edges)
        self.theta = jax.random.uniform(for_theta, (2, inputs, outputs), minval=-r, maxval=r)
        self.bias = jnp.zeros(outputs)

    def __call__(
        self, x: Float[Array, "v d"], present: Bool[Array, " v"], rows: int | None = None
    ) -> Float[Array, "r e"]:
        """Compute new values of all nodes, or of the first `rows`. Nodes that are not `present`
        have no effect."""
        identity = jnp.eye(len(x), dtype=x.dtype)[:rows]
        scores = self.edges.between_all(x) if rows is None else self.edges(x[:rows, None], x)
        adjacency = softmax_over_neighbours(scores, present & (identity == 0))
        return graph_convolution(jnp.stack([identity, adjacency]), x, self.theta) + self.bias


class Graph(Predictor):
    """The nodes of a support set; each query is added alone."""

    learner: "GNN"
    statistics: Statistics | None
    nodes: Float[Array, "n d"]
    present: Bool[Array, " n"]

    def __call__(self, x: Float[Array, "n ..."]) -> Float[Array, "n classes"]:
        z, _ = self.learner.network(x, self.statistics)
        labels = self.learner.label_vectors(jnp.full(len(z), -1))
        present = jnp.concatenate([jnp.ones(1, bool), self.present])

        def logits(query: Float[Array, " d"]) -> Float[Array, " classes"]:
            nodes = jnp.concatenate([query[None], self.nodes])
            hidden = self.learner.hidden(nodes, present)
            return self.learner.layers[-1](hidden, present, rows=1)[0]

        return jax.vmap(logits)(jnp.concatenate([z, labels], -1))

    def embed(self, x: Float[Array, "n ..."]) -> Float[Array, "n d"]:
        return self.learner.network(x, self.statistics)[0]


class GNN(EmbeddingLearner):
    """An embedding network, and a graph network that predicts the label of a node.

    Labels are part of its nodes, so it serves only the number of classes that it was built for.
    With `unlabelled` False, unlabelled examples are left out of the graph.

    >>> learner = GNN(Conv4((28, 28, 1), key=key), way=5, key=key)
    >>> learner.adapt(support, Categorical(5), key=key)(queries).shape      # logits
    (75, 5)
    """

    network: Network
    layers: tuple[GraphLayer, ...]
    population: Statistics | None
    way: int = eqx.field(static=True)
    unlabelled: bool = eqx.field(static=True)
    normalisation: Normalisation = eqx.field(static=True)

    def __init__(
        self,
        network: Network,
        way: int,
        *,
        hidden_layers: int = 2,
        width: int = 48,
        edge_width: int = 96,
        unlabelled: bool = True,
        normalisation: Normalisation = "running",
        key: PRNGKeyArray,
    ):
        """Make `hidden_layers` graph layers of `width` channels, and a last layer whose channels
        are the classes."""
        widths = (*hidden_layers * (width,), way)
        self.network = network
        self.layers = tuple(
            GraphLayer(network.outputs + way + k * width, w, edge_width, key=for_layer)
            for k, (w, for_layer) in enumerate(
                zip(widths, jax.random.split(key, len(widths)), strict=True)
            )
        )
        self.population = None
        self.way, self.unlabelled, self.normalisation = way, unlabelled, normalisation

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.network, self.population, self.normalisation)

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Graph:
        if not isinstance(likelihood, Categorical):
            raise ValueError("graph networks classify; this task's targets are not classes")
        if likelihood.size != self.way:
            raise ValueError(
                f"this graph network's nodes have room for {self.way} labels, the task has "
                f"{likelihood.size} classes: their number is part of what is learned"
            )
        present = jnp.ones(len(support.y), bool) if self.unlabelled else support.y >= 0
        return self.graph(support.x, self.label_vectors(support.y), present)

    def label_vectors(self, y: Int[Array, " n"]) -> Float[Array, "n classes"]:
        """Compute h(l): one-hot, or uniform for -1."""
        return jnp.where(y[:, None] >= 0, jax.nn.one_hot(y, self.way), 1 / self.way)

    def graph(
        self,
        x: Float[Array, "n ..."],
        labels: Float[Array, "n classes"],
        present: Bool[Array, " n"],
    ) -> Graph:
        """Make the graph of a support set with these `labels`, of the nodes that are `present`."""
        z, of_queries = self.embedding.read(x)
        return Graph(
            learner=self,
            statistics=of_queries.statistics,
            nodes=jnp.concatenate([z, labels], -1),
            present=present,
        )

    def hidden(self, x: Float[Array, "v d"], present: Bool[Array, " v"]) -> Float[Array, "v e"]:
        """Compute x^(k): the nodes after all layers except the last."""
        for layer in self.layers[:-1]:
            new = jax.nn.leaky_relu(jax.nn.standardize(layer(x, present)))
            x = jnp.concatenate([x, new], -1)
        return x

    @property
    def uses_unlabelled(self) -> bool:
        return self.unlabelled or super().uses_unlabelled

    @property
    def labels_are_names(self) -> bool:
        return False

    @property
    def absent_last(self) -> bool:
        return False
