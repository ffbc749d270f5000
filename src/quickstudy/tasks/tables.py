"""Synthetic tables with a label, to train a learner of tables without real tables.

Each task is drawn from its own mechanism. Causes pass through a random network of sparse matrices,
activations and noise, and some of its nodes, early or late, are the features: structural causal
models in the form of Hollmann et al. (ICLR 2023). Classes come from one of four rules:

    clusters   the causes are drawn around centres, up to three of each class
    greatest   a combination of nodes for each class; the greatest names the row's class
    intervals  one combination of nodes; the interval that it falls in names the class
    trees      sums of random decision trees on the features, one for each class; the greatest

Some features are then skewed, cut to a few levels (in order, or without one) or replaced by noise,
some labels are wrong, and classes are of different sizes. All are random numbers in arrays of fixed
shapes, so a batch of tasks is drawn inside the compiled step.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.random import normal, uniform
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from quickstudy.likelihood import Categorical
from quickstudy.task import Episode, Examples, TaskDistribution

LEAST = 5
"""The least number of labelled rows; each class has at least one."""

KINDS = (0.45, 0.2, 0.15, 0.2)
"""The probabilities of clusters, greatest, intervals and trees."""

WIDTH, DEPTH = 24, 3
"""Nodes in each layer of the network, and layers after the causes."""

CENTRES, TREES, TREE_DEPTH, LEVELS = 3, 8, 3, 6

ACTIVATIONS = (
    *(jnp.tanh, jax.nn.relu, jnp.sin, jnp.abs, jnp.sign, jnp.square),
    *(lambda z: z, lambda z: z, lambda z: jax.nn.leaky_relu(z, 0.2)),
)


class SyntheticTables(TaskDistribution[Episode]):
    """2 to `way` classes, 1 to `features` features, `LEAST` to `most` labelled rows, and `queries`
    rows of the same classes. Shapes are the largest: further support rows are unlabelled (-1),
    further features 0.

    >>> SyntheticTables(way=10, most=80, queries=30, features=16).sample(key).support.x.shape
    (80, 16)
    """

    way: int = eqx.field(static=True)
    most: int = eqx.field(static=True)
    queries: int = eqx.field(static=True)
    features: int = eqx.field(static=True)

    def __check_init__(self):
        if self.way < 2 or self.queries < 1 or self.features < 1:
            raise ValueError("a table has 2 classes, 1 query and 1 feature at least")
        if self.most < max(LEAST, self.way):
            raise ValueError(f"{self.most} labelled rows: at least {max(LEAST, self.way)}")

    def sample(self, key: PRNGKeyArray) -> Episode:
        for_rows, for_count = jax.random.split(key)
        x, y = self.rows(for_rows)
        first = ~jnp.any(jnp.tril(y[:, None] == y, -1), axis=1)  # of its class
        rows = jnp.argsort(~first, stable=True)
        x, y = x[rows], y[rows]
        least = jnp.maximum(LEAST, jnp.sum(first))
        count = least * (self.most / least) ** uniform(for_count)
        labels = jnp.where(jnp.arange(self.most) < jnp.round(count), y[: self.most], -1)
        return Episode(
            Examples(x[: self.most], labels),
            Examples(x[self.most :], y[self.most :]),
            Categorical(self.way),
        )

    def rows(self, key: PRNGKeyArray) -> tuple[Float[Array, "n features"], Int[Array, " n"]]:
        """Draw all rows of a table in random order, with their classes, at least two."""
        keys = jax.random.split(key, 12)
        n, u = self.most + self.queries, uniform(keys[0], (5,))
        classes = jnp.where(u[0] < 1 / 3, 2, 2 + jnp.floor(u[1] * (self.way - 1))).astype(int)
        used = 1 + jnp.floor(u[2] * self.features).astype(int)
        share = u[3] * normal(keys[1], (self.way,))
        share = jnp.where(jnp.arange(self.way) < classes, share, -jnp.inf)
        drawn = jax.random.categorical(keys[2], share, shape=(2, n))

        kind = jax.random.categorical(keys[3], jnp.log(jnp.asarray(KINDS)))
        nodes = flow(keys[4], causes(keys[5], drawn[0], self.way, kind == 0))
        late = jnp.repeat(2 * normal(keys[6], (DEPTH + 1,)), WIDTH)
        chosen = jnp.resize(jnp.argsort(late + normal(keys[11], late.shape)), (self.features,))
        x = nodes[:, chosen]
        shown = jnp.zeros(late.shape).at[chosen].add(jnp.arange(self.features) < used) > 0
        scores = combined(keys[7], nodes, shown, self.way)
        y = jnp.stack(
            [
                drawn[0],
                jnp.argmax(scores + share, axis=1),
                intervals(keys[8], scores[:, 0], classes, self.way),
                jnp.argmax(forest(keys[8], x, used, self.way) + share, axis=1),
            ]
        )[kind]
        y = jnp.where(uniform(keys[9], (n,)) < 0.2 * u[4] ** 3, drawn[1], y)
        y = y.at[0].set(jnp.where(jnp.all(y == y[0]), (y[0] + 1) % classes, y[0]))
        return jnp.where(jnp.arange(self.features) < used, bent(keys[10], x), 0), y

    def protocol(self) -> dict[str, Any]:
        return {
            "data": "synthetic-tables",
            "way": f"2 to {self.way}",
            "shot": f"{LEAST} to {self.most} examples",
            "queries": self.queries,
            "features": f"1 to {self.features}",
        }


def standard(x: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Standardise columns to mean 0 and variance 1."""
    x = x - jnp.mean(x, axis=0)
    return x * jax.lax.rsqrt(jnp.mean(x**2, axis=0) + 1e-6)


def causes(
    key: PRNGKeyArray, y: Int[Array, " n"], way: int, clusters: Bool[Array, ""]
) -> Float[Array, "n width"]:
    """Draw causes: independent, or in `clusters` around the centres of the rows' classes, whose
    distances are some 3 to 30 times the deviation within. Only some causes are not 0."""
    keys = jax.random.split(key, 6)
    u, shape = uniform(keys[0], (3,)), (way, CENTRES, WIDTH)
    count = jnp.round(WIDTH ** u[0])
    centres = 3 * 10 ** u[1] / jnp.sqrt(2 * count) * normal(keys[1], shape)
    scales = jnp.exp(0.7 * u[2] * normal(keys[2], shape[:2]))
    of_class, of_row = uniform(keys[3], (way,)), uniform(keys[5], y.shape)
    which = jnp.floor(of_row * jnp.ceil(CENTRES * of_class)[y]).astype(int)
    z = normal(keys[4], (len(y), WIDTH))
    z = jnp.where(clusters, centres[y, which] + scales[y, which][:, None] * z, z)
    return jnp.where(jnp.arange(WIDTH) < count, z, 0)


def flow(key: PRNGKeyArray, z: Float[Array, "n width"]) -> Float[Array, "n nodes"]:
    """Return the causes and all nodes of a random network above them."""
    for_task, for_liking, for_layers = jax.random.split(key, 3)
    u = uniform(for_task, (2,))
    liking = 3 * normal(for_liking, (len(ACTIVATIONS),))

    def layer(z: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
        keys = jax.random.split(key, 5)
        some = uniform(keys[0], (WIDTH, WIDTH)) < 0.1 + 0.9 * u[0] ** 2
        gain, shift = normal(keys[1], (2, WIDTH))
        z = standard(z @ (some * normal(keys[2], some.shape))) * jnp.exp(gain / 2) + shift
        which = jax.random.categorical(keys[3], liking, shape=(WIDTH,))
        z = jnp.select([which == i for i in range(len(ACTIVATIONS))], [f(z) for f in ACTIVATIONS])
        z = standard(z) + u[1] ** 4 * normal(keys[4], z.shape)
        return z, z

    _, above = jax.lax.scan(layer, z, jax.random.split(for_layers, DEPTH))
    return standard(jnp.concatenate([z, *above], axis=1))


def combined(
    key: PRNGKeyArray, nodes: Float[Array, "n d"], shown: Bool[Array, " d"], way: int
) -> Float[Array, "n way"]:
    """Combine some nodes for each class: of the features, which are `shown`, or of all nodes. Where
    none are chosen, take all features."""
    keys = jax.random.split(key, 3)
    u, shape = uniform(keys[0], (2,)), shown.shape
    some = (uniform(keys[1], shape) < u[1]) & (shown | (u[0] < 0.2))
    some = jnp.where(jnp.any(some), some, shown)[:, None]
    return standard(nodes @ (some * normal(keys[2], (*shape, way))))


def intervals(
    key: PRNGKeyArray, score: Float[Array, " n"], classes: Int[Array, ""], way: int
) -> Int[Array, " n"]:
    """Give each score the class of its interval: one or two intervals for each class, with random
    shares of all rows."""
    keys = jax.random.split(key, 3)
    rank = jnp.argsort(jnp.argsort(score)) / len(score)
    parts = classes * jax.random.randint(keys[0], (), 1, 3)
    cuts = uniform(keys[1], (2 * way - 1,))
    cuts = jnp.where(jnp.arange(2 * way - 1) < parts - 1, cuts, jnp.inf)
    called = jnp.argsort(jnp.where(jnp.arange(way) < classes, uniform(keys[2], (way,)), jnp.inf))
    return called[jnp.sum(rank[:, None] > cuts, axis=1) % classes]


def forest(
    key: PRNGKeyArray, x: Float[Array, "n d"], used: Int[Array, ""], way: int
) -> Float[Array, "n way"]:
    """Sum trees on the first `used` columns. All nodes of a level of a tree compare the same column
    with the value of one row."""
    keys, shape = jax.random.split(key, 4), (TREES, TREE_DEPTH)
    column = jax.random.randint(keys[0], shape, 0, used)
    threshold = x[jax.random.randint(keys[1], shape, 0, len(x)), column]
    leaf = jnp.sum((x[:, column] > threshold) * 2 ** jnp.arange(TREE_DEPTH), axis=-1)
    values = normal(keys[2], (TREES, 2**TREE_DEPTH, way))
    weight = jnp.exp(-3 * uniform(keys[3]) * jnp.arange(TREES))[:, None]
    return standard(jnp.sum(weight * values[jnp.arange(TREES), leaf], axis=1))


def bent(key: PRNGKeyArray, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Skew some columns, cut some to levels (in order or without order), and replace some by
    noise."""
    keys, d = jax.random.split(key, 5), x.shape[1]
    often = uniform(keys[0], (3, 1)) ** 3 * jnp.asarray([[0.8], [0.5], [0.5]])
    skewed, cut, lost = uniform(keys[1], (3, d)) < often
    bend, levels, ordered = uniform(keys[2], (3, d))
    x = jnp.where(skewed, jnp.expm1(3 * (bend - 0.5) * jnp.clip(x, -3, 3)), x)
    level = jnp.floor(jax.scipy.stats.norm.cdf(x) * jnp.floor(2 + levels * (LEVELS - 1)))
    level = jnp.clip(level, 0, LEVELS - 1).astype(int)
    names = normal(keys[3], (LEVELS, d))[level, jnp.arange(d)]
    x = jnp.where(cut, jnp.where(ordered < 0.5, level, names), x)
    return jnp.where(lost, normal(keys[4], x.shape), x)
