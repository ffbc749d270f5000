"""A simple neural attentive learner, SNAIL (Mishra, Rohaninejad, Chen and Abbeel, ICLR 2018).

The examples of a task are a sequence of pairs (embedding, label), and the query comes last, with
zeros for its label. Two kinds of blocks read it, and both are causal. Convolutions over time
combine the present with earlier positions:

    [f_t, g_t] = W [x_{t-R}, x_t] + b;   y_t = [x_t, tanh(f_t) σ(g_t)]      (dense block)
    dense blocks of dilation R = 2, 4, … 2^⌈log₂ T⌉, one on the other       (TC block)

and attention finds relevant positions at any distance,

    y_t = [x_t, Σ_{i ≤ t} p_ti v_i],   p_t = softmax_i q_t·k_i / √K         (attention block)

q, k (of size K) and v (of size V) affine in x. (The paper's figure 2 has the three as pseudocode.)
For few-shot classification the blocks are stacked, with D = 128 filters (appendix A):

    Attention(D/2, D/4), TC(T, D), Attention(2D, D), TC(T, D), Attention(4D, 2D), affine to N

Unlabelled support examples are ignored: they are moved to the front, masked in every attention, and
set to zero before every convolution, as positions before the first example are. So a set with
masked examples gives the predictions of the shorter set, and one model serves any number of shots.

Differences from the paper: in training, the queries of a task share its support set, and each is
read alone after it; the paper has one query for each task."""

import abc
import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from quickstudy.learner import Metrics, Predictor
from quickstudy.learners.embedding import EmbeddingLearner
from quickstudy.learners.memory.recurrent import encoded
from quickstudy.likelihood import Likelihood
from quickstudy.networks.embedding import Embedding
from quickstudy.networks.layers import Linear
from quickstudy.networks.network import Network, Normalisation, Statistics
from quickstudy.task import Episode, Examples


class Block(eqx.Module):
    """A layer that reads query rows, each as if it were appended to the support sequence at the
    position `time`. `keep` returns what the block needs of that sequence."""

    added: eqx.AbstractVar[int]
    """The number of channels that it adds to its inputs."""

    @abc.abstractmethod
    def keep(self, x: Float[Array, "n c"], present: Bool[Array, " n"]) -> Any:
        """Return what the block needs of a sequence; absent positions hold zeros."""

    @abc.abstractmethod
    def __call__(
        self, x: Float[Array, "r c"], time: Int[Array, " r"], kept: Any
    ) -> Float[Array, "r d"]:
        """Compute the outputs of query rows from the result of `keep`."""


class Dense(Block):
    """A dilated causal convolution; its gated outputs are concatenated with its inputs."""

    weights: Linear
    added: int = eqx.field(static=True)
    dilation: int = eqx.field(static=True)

    def __init__(self, inputs: int, *, filters: int, dilation: int, key: PRNGKeyArray):
        self.weights = Linear(2 * inputs, 2 * filters, key=key)
        self.added, self.dilation = filters, dilation

    def keep(self, x: Float[Array, "n c"], present: Bool[Array, " n"]) -> Float[Array, "n+1 c"]:
        """Return x_{t-R} for each time t up to n, the position after the last; zeros before the
        first."""
        return jnp.concatenate([jnp.zeros((self.dilation, x.shape[1])), x])[: len(x) + 1]

    def __call__(
        self, x: Float[Array, "r c"], time: Int[Array, " r"], kept: Float[Array, "times c"]
    ) -> Float[Array, "r d"]:
        f, g = jnp.split(self.weights(jnp.concatenate([kept[time], x], 1)), 2, axis=1)
        return jnp.concatenate([x, jnp.tanh(f) * jax.nn.sigmoid(g)], 1)


class Seen(eqx.Module):
    """The keys and values of a sequence."""

    keys: Float[Array, "n k"]
    values: Float[Array, "n v"]
    present: Bool[Array, " n"]


class Attention(Block):
    """Attention to earlier positions and to itself; the result is concatenated with the inputs."""

    query: Linear
    key: Linear
    value: Linear
    added: int = eqx.field(static=True)

    def __init__(self, inputs: int, *, keys: int, values: int, key: PRNGKeyArray):
        a, b, c = jax.random.split(key, 3)
        self.query, self.key = Linear(inputs, keys, key=a), Linear(inputs, keys, key=b)
        self.value = Linear(inputs, values, key=c)
        self.added = values

    def keep(self, x: Float[Array, "n c"], present: Bool[Array, " n"]) -> Seen:
        return Seen(self.key(x), self.value(x), present)

    def weights(
        self, x: Float[Array, "r c"], time: Int[Array, " r"], kept: Seen
    ) -> Float[Array, "r places"]:
        """Compute p, the attention of each row to each position of the sequence and, last, to
        itself."""
        query, own = self.query(x), self.key(x)
        earlier = kept.present & (jnp.arange(len(kept.keys)) < time[:, None])
        scores = jnp.where(earlier, query @ kept.keys.T, -jnp.inf)
        scores = jnp.concatenate([scores, jnp.sum(query * own, 1, keepdims=True)], 1)
        return jax.nn.softmax(scores / own.shape[1] ** 0.5)

    def __call__(
        self, x: Float[Array, "r c"], time: Int[Array, " r"], kept: Seen
    ) -> Float[Array, "r d"]:
        p = self.weights(x, time, kept)
        return jnp.concatenate([x, p[:, :-1] @ kept.values + p[:, -1:] * self.value(x)], 1)


class SNAIL(EmbeddingLearner):
    """An embedding network, and blocks that read a sequence.

    >>> learner = SNAIL(WithHead(Conv4((28, 28, 1), key=a), 64, key=b), 5, key=key)
    >>> learner.adapt(support, Categorical(5), key=key)(queries).shape      # logits
    (75, 5)
    """

    network: Network
    blocks: tuple[Block, ...]
    head: Linear
    population: Statistics | None
    size: int = eqx.field(static=True)
    normalisation: Normalisation = eqx.field(static=True)

    def __init__(
        self,
        network: Network,
        size: int,
        *,
        filters: int = 128,
        length: int = 26,
        normalisation: Normalisation = "running",
        key: PRNGKeyArray,
    ):
        """`size` is the length of a label and of a prediction, `filters` is D, and `length` is T,
        the longest sequence that the convolutions span."""
        dilations = [2**i for i in range(1, math.ceil(math.log2(length)) + 1)]
        temporal = [functools.partial(Dense, filters=filters, dilation=d) for d in dilations]
        attention = [
            functools.partial(Attention, keys=2 * values, values=values)
            for values in (filters // 4, filters, 2 * filters)
        ]
        kinds = [attention[0], *temporal, attention[1], *temporal, attention[2]]
        *keys, for_head = jax.random.split(key, len(kinds) + 1)
        blocks, width = [], network.outputs + size
        for kind, for_block in zip(kinds, keys, strict=True):
            blocks.append(kind(width, key=for_block))
            width += blocks[-1].added
        self.network = network
        self.blocks = tuple(blocks)
        self.head = Linear(width, size, key=for_head)
        self.population = None
        self.size, self.normalisation = size, normalisation

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.network, self.population, self.normalisation)

    def read(self, z: Float[Array, "n c"], present: Bool[Array, " n"]) -> tuple[Any, ...]:
        """Return what each block keeps of a sequence, in which some of the first positions are not
        `present`."""
        kept, time = [], jnp.arange(len(z))
        for block in self.blocks:
            z = jnp.where(present[:, None], z, 0.0)
            kept.append(block.keep(z, present))
            z = block(z, time, kept[-1])
        return tuple(kept)

    def answer(
        self,
        f: Float[Array, "r e"],
        time: Int[Array, " r"],
        kept: tuple[Any, ...],
    ) -> Float[Array, "r size"]:
        """Predict for embeddings, each alone, as if it were at the position `time`."""
        z = jnp.concatenate([f, jnp.zeros((len(f), self.size))], 1)
        for block, of_block in zip(self.blocks, kept, strict=True):
            z = block(z, time, of_block)
        return self.head(z)

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> "Read":
        f, of_queries = self.embedding.read(support.x)
        z = jnp.concatenate([f, encoded(support.y, likelihood, self.size)], 1)
        present = likelihood.labelled(support.y)
        order = jnp.argsort(present)  # stable: what is labelled comes last, in its order
        return Read(self, of_queries.statistics, self.read(z[order], present[order]))

    def in_turn(
        self, examples: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, "n size"]:
        """Predict a sequence, whose examples are all labelled, in one pass: the t-th example is a
        query at time t, and then stays with its label."""
        f, _ = self.embedding.read(examples.x)
        z = jnp.concatenate([f, encoded(examples.y, likelihood, self.size)], 1)
        kept = self.read(z, jnp.ones(len(f), bool))
        return self.answer(f, jnp.arange(len(f)), kept)

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Compute the query loss with the support set in a random order."""
        order = jax.random.permutation(key, len(task.support.y))
        support = Examples(task.support.x[order], task.support.y[order])
        return super().loss(eqx.tree_at(lambda t: t.support, task, support), key=key)

    @property
    def order_matters(self) -> bool:
        return True

    @property
    def labels_are_names(self) -> bool:
        return False

    @property
    def absent_last(self) -> bool:
        return False


class Read(Predictor):
    """The kept state of a support set. Its examples are read once, for any number of queries."""

    learner: SNAIL
    statistics: Statistics | None
    kept: tuple[Any, ...]

    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n size"]:
        f, _ = self.learner.network(x, self.statistics)
        newest = next(k for k in self.kept if isinstance(k, Seen))
        time = jnp.full(len(f), len(newest.present))
        return self.learner.answer(f, time, self.kept)
