"""A transformer that learns tables in context: support set in, predictions out, no gradient steps.

Trained over very many task distributions at once, a network that reads data sets becomes a method
of learning (Müller et al., ICLR 2022; Kirsch et al. 2022; for tables TabPFN, Hollmann et al.,
ICLR 2023 and Nature 2025). Its objective is the query loss, whose minimum over all functions of
the support set is the posterior predictive of the distribution p(T) that tasks are drawn from:

    min_ω E_T E_(S, x, y)~T [ -log q_ω(y | x, S) ]   at   q_ω = p(y | x, S)          (Müller, eq. 2)

A table is rows and columns, and each of its cells is a token: one for each feature, and one for
the label, which is a code of the class, or in a query one that says nothing. With z a cell of a row
r in a column c, S the labelled rows, n( ) layer normalisation and A attention over several heads,

    A(u; V) = W_o Σ_v∈V softmax_v((W_q u)ᵀ W_k v / √d - b δ(u, v)) W_v v
    z_rc ← z_rc + A(n(z_rc); {n(z_rc') : all columns c' of the row})
    z_rc ← z_rc + A(n(z_rc); {n(z_ic) : i ∈ S})                              the same column
    z_rc ← z_rc + W_2 gelu(W_1 n(z_rc))

After some such layers, the label's cell alone stands for its row, and is widened: further layers
look from rows to S. What comes out for a query looks at what came out for S and takes their labels:

    p(y = k | x, S) = Σ_{i ∈ S: y_i = k} softmax_i((W_q h)ᵀ W_k h_i / √d - b δ(x, x_i))

δ is the squared distance of two rows, in the feature of their column or in all features (cells of
one row have none), and b one number for each head, from 0 to 1 at first: the network starts as a
kernel smoother.

Rows look at labelled rows alone. So unlabelled examples are passed over, queries do not see each
other, and neither the order of rows nor that of columns matters; any numbers of these and of up to
`CLASSES` classes are served by the same weights. What the network sees of a feature is how far a
value is from the mean, in standard deviations, and its rank, both by S; a feature with a single
value in S is left out, so that columns of zeros may fill a table up. Codes are dealt out to classes
anew for each key, in the order of the classes' mean features, so that names do not matter either.

Differences from TabPFN: its first form has one token a row, its second one for a pair of features,
with an identity for each; both have an output for each class in place of the last equation, and
millions of weights, where this has a few hundred thousand.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from quickstudy.learner import Learner, Predictor
from quickstudy.likelihood import Categorical, Likelihood
from quickstudy.networks.layers import Linear
from quickstudy.task import Examples

CLASSES = 10
"""The most classes that are served: as many codes are learned."""

PER_HEAD = 16

FLOOR = 1e-4
"""Probability that each class has whatever the support set says."""

Memory = tuple[Float[Array, "_ n _"], Float[Array, "_ n _"]]
"""Keys and values of the support rows in each column."""


def normalised(z: Float[Array, "*n width"]) -> Float[Array, "*n width"]:
    """Each token with mean 0 and variance 1."""
    z = z - jnp.mean(z, axis=-1, keepdims=True)
    return z * jax.lax.rsqrt(jnp.mean(z**2, axis=-1, keepdims=True) + 1e-5)


class Attention(eqx.Module):
    """A(u; V), for sequences along the last axis but one."""

    query: Linear
    memory: Linear
    output: Linear

    nearness: Float[Array, " heads"] | None

    def __init__(self, width: int, *, near: bool, key: PRNGKeyArray):
        for_query, for_memory, for_output = jax.random.split(key, 3)
        self.query = Linear(width, width, key=for_query)
        self.memory = Linear(width, 2 * width, key=for_memory)
        self.output = Linear(width, width, key=for_output)
        self.nearness = jnp.linspace(0.0, 1.0, width // PER_HEAD) if near else None

    def remember(self, v: Float[Array, "c n width"]) -> Memory:
        keys, values = jnp.split(self.memory(v), 2, axis=-1)
        return keys, values

    def __call__(
        self,
        u: Float[Array, "c m width"],
        memory: Memory,
        seen: Bool[Array, " n"],
        apart: Float[Array, "c m n"] | None = None,
    ) -> Float[Array, "c m width"]:
        q, k, v = heads(self.query(u)), heads(memory[0]), heads(memory[1])
        scores = jnp.einsum("cmhd,cnhd->chmn", q, k) * PER_HEAD**-0.5
        if self.nearness is not None and apart is not None:
            scores = scores - self.nearness[:, None, None] * apart[:, None]
        weights = jax.nn.softmax(scores, where=seen)
        read = jnp.einsum("chmn,cnhd->cmhd", weights, v)
        return self.output(read.reshape(u.shape))


def heads(z: Float[Array, "c n width"]) -> Float[Array, "c n heads d"]:
    """Each head's share of the numbers."""
    return z.reshape(*z.shape[:-1], -1, PER_HEAD)


class Layer(eqx.Module):
    """Attention within each row, unless rows are one token; attention to the support rows; and a
    perceptron for each token."""

    within: Attention | None
    down: Attention
    rise: Linear
    fall: Linear

    def __init__(self, width: int, *, within: bool, key: PRNGKeyArray):
        for_within, for_down, for_rise, for_fall = jax.random.split(key, 4)
        self.within = Attention(width, near=False, key=for_within) if within else None
        self.down = Attention(width, near=True, key=for_down)
        self.rise = Linear(width, 2 * width, key=for_rise)
        self.fall = Linear(2 * width, width, key=for_fall)

    def along(
        self, z: Float[Array, "c n width"], used: Bool[Array, " columns"]
    ) -> Float[Array, "c n width"]:
        """The first of the three."""
        if self.within is None:
            return z
        rows = normalised(z).swapaxes(0, 1)
        return z + self.within(rows, self.within.remember(rows), used).swapaxes(0, 1)

    def remember(self, z: Float[Array, "c n width"]) -> Memory:
        """What rows look at, of support rows that are `along`."""
        return self.down.remember(normalised(z))

    def rest(
        self,
        z: Float[Array, "c m width"],
        memory: Memory,
        labelled: Bool[Array, " n"],
        apart: Float[Array, "c m n"],
    ) -> Float[Array, "c m width"]:
        """The other two."""
        z = z + self.down(normalised(z), memory, labelled, apart)
        return z + self.fall(jax.nn.gelu(self.rise(normalised(z))))


class Features(eqx.Module):
    """What is known of the columns of a table from its labelled rows."""

    x: Float[Array, "n features"]
    labelled: Bool[Array, " n"]

    @property
    def used(self) -> Bool[Array, " features"]:
        """Those of more than one value."""
        known = self.labelled[:, None]
        low = jnp.min(jnp.where(known, self.x, jnp.inf), axis=0)
        return low < jnp.max(jnp.where(known, self.x, -jnp.inf), axis=0)

    def __call__(self, x: Float[Array, "m features"]) -> Float[Array, "features m 2"]:
        """Distances from the mean, and ranks from -1 to 1; 0 in columns that are left out."""
        known = self.labelled[:, None]
        count = jnp.maximum(jnp.sum(known), 1)
        mean = jnp.sum(self.x, axis=0, where=known) / count
        spread = jnp.sqrt(jnp.sum((self.x - mean) ** 2, axis=0, where=known) / count)
        distance = jnp.arcsinh((x - mean) / jnp.where(self.used, spread, 1))
        above = jnp.sign(x[:, None] - self.x)
        rank = jnp.sum(above, axis=1, where=known) / count
        return jnp.where(self.used[:, None, None], jnp.stack([distance.T, rank.T], axis=-1), 0)


def distances(
    values: Float[Array, "f m 2"], others: Float[Array, "f n 2"]
) -> Float[Array, "c m n"]:
    """Squared, between rows: in each feature, and last in all of them, as their sum over the root
    of their number, whose spread does not grow with that."""
    each = jnp.sum((values[:, :, None] - others[:, None]) ** 2, axis=-1)
    used = jnp.sum(jnp.any(others != 0, axis=(1, 2)))
    every = jnp.sum(each, axis=0) * jax.lax.rsqrt(jnp.maximum(used, 1).astype(each.dtype))
    return jnp.concatenate([each, every[None]])


class Network(eqx.Module):
    """All that is learned but the codes."""

    value: Linear
    feature: Linear
    cells: tuple[Layer, ...]
    widen: Linear
    rows: tuple[Layer, ...]
    ask: Linear
    answer: Linear
    nearness: Float[Array, ""]

    def __init__(self, width: int, cells: int, row_width: int, rows: int, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 5)
        self.value = Linear(2, width, key=keys[0])
        self.feature = Linear(width, width, key=keys[1])
        for_cells, for_rows = (jax.random.split(k, max(cells, rows)) for k in keys[2:4])
        self.cells = tuple(Layer(width, within=True, key=k) for k in for_cells[:cells])
        self.rows = tuple(Layer(row_width, within=False, key=k) for k in for_rows[:rows])
        for_widen, for_ask, for_answer = jax.random.split(keys[4], 3)
        self.widen = Linear(width, row_width, key=for_widen)
        self.ask = Linear(row_width, row_width, key=for_ask)
        self.answer = Linear(row_width, row_width, key=for_answer)
        self.nearness = jnp.asarray(1.0)

    def __call__(
        self,
        values: Float[Array, "f m 2"],
        label: Float[Array, "#m width"],
        used: Bool[Array, " f"],
        labelled: Bool[Array, " n"],
        apart: Float[Array, "c m n"],
        memories: tuple[Memory, ...] | None = None,
    ) -> tuple[Float[Array, "m row_width"], tuple[Memory, ...]]:
        """What comes out for some rows, and what further rows look at in each layer: the
        `memories` of the support rows, or what these rows make of themselves if they are it."""
        z = self.feature(jax.nn.gelu(self.value(values)))
        label = jnp.broadcast_to(label, (1, z.shape[1], z.shape[2]))
        z, used = jnp.concatenate([z, label]), jnp.append(used, True)
        made = []
        for layer in (*self.cells, None, *self.rows):
            if layer is None:
                z = self.widen(normalised(z[-1:]))
                continue
            z = layer.along(z, used)
            made.append(layer.remember(z) if memories is None else memories[len(made)])
            z = layer.rest(z, made[-1], labelled, apart[-len(z) :])
        return normalised(z[0]), tuple(made)


class InformedNetwork(Predictor):
    """A support set that has been read: what new rows look at."""

    network: Network
    unknown: Float[Array, " width"]
    features: Features
    values: Float[Array, "f n 2"]
    memories: tuple[Memory, ...]
    answers: Float[Array, "n row_width"]
    belongs: Bool[Array, "n classes"]

    def __call__(self, x: Shaped[Array, "m ..."]) -> Float[Array, "m classes"]:
        return jnp.log(self.attention(x) @ self.belongs + FLOOR)

    def attention(self, x: Shaped[Array, "m ..."]) -> Float[Array, "m n"]:
        """How much each row takes the label of each support row."""
        values, labelled = self.features(flat(x)), self.features.labelled
        apart = distances(values, self.values)
        h, _ = self.network(
            values, self.unknown[None], self.features.used, labelled, apart, self.memories
        )
        scores = self.network.ask(h) @ self.answers.T * self.answers.shape[-1] ** -0.5
        return jax.nn.softmax(scores - self.network.nearness * apart[-1], where=labelled)


class InContext(Learner):
    """Reads a labelled table, and predicts the labels of other rows of it.

    `width` is of cells, `row_width` of rows, multiples of 16; there are `cells` and `rows` layers
    of each.

    >>> learner = InContext(width=48, cells=3, row_width=96, rows=3, key=key)
    >>> learner.adapt(support, Categorical(3), key=key)(queries).shape
    (75, 3)
    """

    network: Network
    codes: Float[Array, "codes width"]
    unknown: Float[Array, " width"]

    def __init__(self, width: int, cells: int, row_width: int, rows: int, *, key: PRNGKeyArray):
        for_network, for_codes, for_unknown = jax.random.split(key, 3)
        self.network = Network(width, cells, row_width, rows, key=for_network)
        self.codes = jax.random.normal(for_codes, (CLASSES, width))
        self.unknown = jax.random.normal(for_unknown, (width,))

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> InformedNetwork:
        """Raises `ValueError` where targets are not classes, or these are more than `CLASSES`."""
        if not isinstance(likelihood, Categorical):
            raise ValueError("it tells classes apart; this task's targets are not classes")
        if likelihood.size > CLASSES:
            raise ValueError(f"{likelihood.size} classes: it tells up to {CLASSES} apart")
        features = Features(flat(support.x), support.y >= 0)
        values, belongs = features(features.x), likelihood.encode(support.y)
        dealt = jax.random.permutation(key, CLASSES)[order(values, belongs)]
        label = self.codes[dealt[support.y]]
        h, memories = self.network(
            values, label, features.used, features.labelled, distances(values, values)
        )
        return InformedNetwork(
            self.network,
            self.unknown,
            features,
            values,
            memories,
            self.network.answer(h),
            belongs > 0,
        )


def order(
    values: Float[Array, "f n 2"], belongs: Float[Array, "n classes"]
) -> Int[Array, " classes"]:
    """The place of each class among all, by its mean over rows and features."""
    of_rows = jnp.mean(values, axis=(0, 2))
    count = jnp.sum(belongs, axis=0)
    means = jnp.where(count > 0, of_rows @ belongs / jnp.maximum(count, 1), jnp.inf)
    return jnp.argsort(jnp.argsort(means))


def flat(x: Shaped[Array, "n ..."]) -> Float[Array, "n d"]:
    """Inputs as vectors of numbers."""
    return x.reshape(x.shape[0], -1).astype(float)
