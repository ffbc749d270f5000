"""Learning to remember rare events (Kaiser, Nachum, Roy and Bengio, ICLR 2017).

A network computes a key of unit length for an example, and a memory of (key, value, age) triples
finds the nearest keys. With the neighbours n_1, n_2, … n_k of a query q by falling q·K[n], the
answer is V[n_1]; its class is p(v) ∝ exp(t max_{V[n] = v} q·K[n]), with t = 40. The network learns
from

    loss(q, v) = [q·K[n_b] - q·K[n_p] + α]_+                                (eq. 5)

where n_p is the nearest neighbour with V = v and n_b the nearest with another value. Then v is
written to the memory (section 2.2), and the age of every other slot grows by one:

    V[n_1] = v:   K[n_1] ← (q + K[n_1]) / ‖q + K[n_1]‖,  A[n_1] ← 0
    otherwise:    n' = argmax_i A[i] + r_i;   K[n'] ← q,  V[n'] ← v,  A[n'] ← 0

with random r_i that break ties. A value needs no parameters, so the learner serves any number of
classes, and a memory can be written indefinitely: `Memory` can be used by itself.

In training an episode is a stream (the support set, then the queries, each in random order) in
which every example is first predicted and then written. In `adapt` the support set is written one
example after another to an empty memory, and queries are not written.

Differences from the paper: the gradient reaches the keys in memory, where the paper's code holds
them constant; an example adds to the loss only if both kinds of neighbours are among the k; p(v)
takes the best key of each value instead of all. The memory of an episode has at most as many slots
as the episode has examples, because others would stay empty."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from quickstudy.learner import Metrics, Predictor
from quickstudy.learners.distances import unit
from quickstudy.learners.embedding import EmbeddingLearner, inputs_of
from quickstudy.likelihood import Categorical, Likelihood, absent_last
from quickstudy.networks.embedding import Embedding
from quickstudy.networks.network import Network, Statistics
from quickstudy.task import Episode, Examples

INVERSE_TEMPERATURE = 40.0
NOT_THERE = -1.0
"""The cosine of an empty slot; no key has a smaller one."""


class Memory(eqx.Module):
    """Keys, the value of each (-1 for an empty slot), and the time since its last use.

    >>> memory = Memory.empty(slots=8192, width=128)
    >>> memory = memory.told(q, jnp.asarray(3), key=key)       # q is of unit length
    >>> memory.nearest(q)
    Array(3, dtype=int32, weak_type=True)
    """

    keys: Float[Array, "slots d"]
    values: Int[Array, " slots"]
    ages: Int[Array, " slots"]

    @staticmethod
    def empty(slots: int, width: int) -> "Memory":
        """Return an empty memory."""
        ages = jnp.zeros(slots, int)
        return Memory(jnp.zeros((slots, width)), jnp.full(slots, -1), ages)

    def similarities(self, q: Float[Array, " d"]) -> Float[Array, " slots"]:
        """q·K[i]."""
        return jnp.where(self.values >= 0, self.keys @ q, NOT_THERE)

    def nearest(self, q: Float[Array, " d"]) -> Int[Array, ""]:
        """Return V[n_1], or -1 for an empty memory."""
        return self.values[jnp.argmax(self.similarities(q))]

    def logits(self, q: Float[Array, " d"], classes: int) -> Float[Array, " classes"]:
        """Compute t times the best cosine among the keys of each class; classes without a key come
        last (`likelihood.absent_last`)."""
        of_class = self.values == jnp.arange(classes)[:, None]
        best = jnp.max(jnp.where(of_class, self.similarities(q), NOT_THERE), 1)
        return absent_last(INVERSE_TEMPERATURE * best, jnp.any(of_class, axis=1))

    def loss(
        self, q: Float[Array, " d"], y: Int[Array, ""], neighbours: int, margin: float
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Compute eq. 5 over the k = `neighbours` nearest keys with α = `margin`, and whether both
        kinds of neighbours are among them, 1 or 0: if not, the loss is 0."""
        found, places = jax.lax.top_k(self.similarities(q), min(neighbours, len(self.values)))
        values = self.values[places]
        right, wrong = values == y, (values != y) & (values >= 0)
        n_p, n_b = jnp.argmax(right), jnp.argmax(wrong)  # the first are the nearest
        both = jnp.any(right) & jnp.any(wrong)
        return jnp.where(both, jax.nn.relu(found[n_b] - found[n_p] + margin), 0.0), both * 1.0

    def told(self, q: Float[Array, " d"], y: Int[Array, ""], *, key: PRNGKeyArray) -> "Memory":
        """Return the memory after writing that q has the class y."""
        n_1 = jnp.argmax(self.similarities(q))
        hit = self.values[n_1] == y
        oldest = jnp.argmax(self.ages + jax.random.uniform(key, self.ages.shape))
        slot = jnp.where(hit, n_1, oldest)
        new = jnp.where(hit, unit((q + self.keys[n_1])[None])[0], q)
        return Memory(
            self.keys.at[slot].set(new),
            self.values.at[slot].set(y),
            (self.ages + 1).at[slot].set(0),
        )


class MemoryModule(EmbeddingLearner):
    """A network of keys, and a memory of so many `slots`.

    >>> learner = MemoryModule(WithHead(Conv4((28, 28, 1), key=a), 128, key=b))
    >>> learner.adapt(support, Categorical(5), key=key)(queries).shape      # logits
    (75, 5)
    """

    network: Network
    population: Statistics | None
    slots: int = eqx.field(static=True)
    neighbours: int = eqx.field(static=True)
    margin: float = eqx.field(static=True)

    def __init__(
        self, network: Network, *, slots: int = 8192, neighbours: int = 256, margin: float = 0.1
    ):
        self.network = network
        self.population = None
        self.slots, self.neighbours, self.margin = slots, neighbours, margin

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.network, self.population)

    @property
    def order_matters(self) -> bool:
        return True

    def keys_of(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n d"]:
        """Compute q, normalised by the training tasks; before `settle`, by the batch itself."""
        return unit(self.embedding(x))

    def stream(
        self,
        q: Float[Array, "n d"],
        y: Int[Array, " n"],
        likelihood: Likelihood,
        *,
        key: PRNGKeyArray,
    ) -> tuple[Memory, Float[Array, "n size"], Float[Array, ""]]:
        """Predict each example and then write it, from an empty memory. Return the final memory,
        the answers, and the mean loss. Unlabelled examples are not written.

        Raises `ValueError` where targets are not classes.
        """
        if not isinstance(likelihood, Categorical):
            raise ValueError("a memory keeps classes; this task's targets are not classes")

        def step(memory: Memory, example: tuple[Array, Array, Array]):
            q, y, key = example
            loss = memory.loss(q, y, self.neighbours, self.margin)
            told = memory.told(q, y, key=key)
            after = jax.tree.map(lambda new, old: jnp.where(y >= 0, new, old), told, memory)
            return after, (memory.logits(q, likelihood.size), loss)

        start = Memory.empty(min(self.slots, max(len(y), 1)), q.shape[1])
        keys = jax.random.split(key, len(y))
        memory, (logits, (losses, counted)) = jax.lax.scan(step, start, (q, y, keys))
        return memory, logits, jnp.sum(losses) / jnp.maximum(jnp.sum(counted), 1.0)

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> "Remembered":
        memory, _, _ = self.stream(self.keys_of(support.x), support.y, likelihood, key=key)
        return Remembered(self, memory, likelihood.size)

    def in_turn(
        self, examples: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> Float[Array, "n size"]:
        """Predict a sequence in one pass."""
        return self.stream(self.keys_of(examples.x), examples.y, likelihood, key=key)[1]

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Compute the mean of eq. 5 over an episode as a stream."""
        of_support, of_queries, for_stream = jax.random.split(key, 3)
        known, asked = len(task.support.y), len(task.query.y)
        order = jnp.arange(asked)
        if not task.in_turn:
            order = jax.random.permutation(of_queries, asked)
        order = jnp.concatenate([jax.random.permutation(of_support, known), known + order])
        q = self.keys_of(inputs_of(task))[order]
        y = jnp.concatenate([task.support.y, task.query.y])[order]
        _, logits, loss = self.stream(q, y, task.likelihood, key=for_stream)
        return loss, task.likelihood.metrics(logits[known:], y[known:])


class Remembered(Predictor):
    """The memory of a support set."""

    learner: MemoryModule
    memory: Memory
    classes: int = eqx.field(static=True)

    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n classes"]:
        return jax.vmap(lambda q: self.memory.logits(q, self.classes))(self.learner.keys_of(x))
