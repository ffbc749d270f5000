"""A transformer that learns tables in context: support set in, predictions out, no training.

Trained over very many task distributions at once, a network that reads data sets becomes a method
of learning (Müller et al., ICLR 2022; Kirsch et al. 2022; for tables TabPFN, Hollmann et al.,
ICLR 2023 and Nature 2025). Its objective is the query loss, whose minimum over all functions of
the support set is the posterior predictive of the distribution p(T) that tasks are drawn from:

    min_ω E_T E_(S, x, y)~T [ -log q_ω(y | x, S) ]   at   q_ω = p(y | x, S)          (Müller, eq. 2)

Layers of attention can take gradient steps: with the right weights, a layer of linear attention is
a gradient step on the loss of the support set, if the values are the errors of the rows (von Oswald
et al., ICML 2023, proposition 1). Other attention is such a step in another space of functions
(Cheng, Chen and Sra, ICML 2024). Trained transformers have been found to do so. This transformer
does so by construction, and learns the steps. Each row has a vector h for each of a few heads, and
logits f. With the residual e_i = y_i - softmax f(x_i) of the labelled row i, a layer is

    κ_i = ⟨h, h_i⟩ / ‖K‖,    δ_i = softmax_i(-β ‖h - h_i‖² / D)
    f ← f + Σ_heads Σ_i (η κ_i + ρ δ_i) e_i                 a linear model, and a kernel smoother
    h ← h - γ Σ_i κ_i h_i                                   von Oswald's GD++: what S has most of
                                                            shrinks, so that later steps go further

Sums are over labelled rows. ‖K‖ is the Frobenius norm of their inner products, so steps η with a
sum below 4 cannot diverge; D is the mean of their squared distances. At first

    h = (a_c v_c for each column c, the constant 1)

with the column values v of `Features`. A small network computes the scales a of all columns, and η,
β, ρ, γ of all layers and heads, from the columns of this table:

    t_c = mean_i φ(v_ic, v_ic - the mean of i's class, 1 / size of i's class)
    g = ψ(mean_c t_c, size of the table),   a_c = ζ(χ(t_c, g)),   ζ(z) = log(1 + exp z)
    η = 4 σ(b_η + W_η g) / heads,   β = ζ(b_β + W_β g),   ρ = σ(b_ρ + W_ρ g),   γ = σ(b_γ + W_γ g)

Rows attend only to labelled rows. So unlabelled examples are ignored, queries do not see each
other, and predictions do not depend on the order of rows or columns or on the numbering of classes.
The same weights serve any numbers of rows, columns and classes. A feature with a single value in S
is left out, so columns of zeros can pad a table.

Differences from TabPFN: TabPFN is a general transformer with millions of weights, trained on
millions of tables; here some twenty thousand weights choose steps."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logit
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from quickstudy.learner import Learner, Metrics, Predictor
from quickstudy.likelihood import Categorical, Likelihood, absent_last
from quickstudy.networks.layers import Linear
from quickstudy.task import Episode, Examples

ABSENT = -9.0
"""The initial f of a class without a labelled row. No layer changes it much, so the class almost
vanishes from every softmax."""

VIEWS = 2
"""The number of numbers that encode a value of a feature."""

TINY = 1e-12


class Features(eqx.Module):
    """The statistics of the columns of a table, from its labelled rows."""

    x: Float[Array, "n features"]
    labelled: Bool[Array, " n"]

    @property
    def used(self) -> Bool[Array, " features"]:
        """Whether a column has more than one value."""
        known = self.labelled[:, None]
        low = jnp.min(jnp.where(known, self.x, jnp.inf), axis=0)
        return low < jnp.max(jnp.where(known, self.x, -jnp.inf), axis=0)

    def __call__(self, x: Float[Array, "m features"]) -> Float[Array, "m features views"]:
        """Encode values by their distance from the mean, in standard deviations and compressed by
        arsinh, and by their ranks from -1 to 1; 0 in columns that are left out."""
        known = self.labelled[:, None]
        count = jnp.maximum(jnp.sum(known), 1)
        mean = jnp.sum(self.x, axis=0, where=known) / count
        spread = jnp.sqrt(jnp.sum((self.x - mean) ** 2, axis=0, where=known) / count)
        distance = jnp.arcsinh((x - mean) / jnp.where(self.used, spread, 1))
        rank = jnp.sum(jnp.sign(x[:, None] - self.x), axis=1, where=known) / count
        return jnp.where(self.used[:, None], jnp.stack([distance, rank], axis=-1), 0)


class Steps(NamedTuple):
    """The step sizes of each head, in one layer, or of all layers along a leading axis."""

    linear: Float[Array, "*layers heads"]
    """η"""
    nearness: Float[Array, "*layers heads"]
    """β"""
    smooth: Float[Array, "*layers heads"]
    """ρ"""
    whiten: Float[Array, "*layers heads"]
    """γ"""


class Memory(NamedTuple):
    """The labelled rows, which all rows attend to, in one layer, or in all layers along a leading
    axis."""

    rows: Float[Array, "*layers heads n d"]
    errors: Float[Array, "*layers n classes"]
    norm: Float[Array, "*layers heads"]
    """‖K‖"""
    spread: Float[Array, "*layers heads"]
    """D"""


def remember(
    h: Float[Array, "heads n d"], f: Float[Array, "n classes"], y: Float[Array, "n classes"]
) -> Memory:
    """Return the memory of the support rows, with `y` one-hot, and zeros where there is no
    label."""
    labelled = jnp.sum(y, axis=1, keepdims=True)
    count, h = jnp.maximum(jnp.sum(labelled), 1), h * labelled
    middle = jnp.sum(h, axis=1) / count
    return Memory(
        h,
        (y - jax.nn.softmax(f)) * labelled,
        jnp.sqrt(jnp.sum((h.swapaxes(1, 2) @ h) ** 2, axis=(1, 2)) + TINY),
        2 * (jnp.sum(h**2, axis=(1, 2)) / count - jnp.sum(middle**2, axis=1)) + TINY,
    )


def layer(
    h: Float[Array, "heads m d"],
    f: Float[Array, "m classes"],
    memory: Memory,
    steps: Steps,
    labelled: Bool[Array, " n"],
) -> tuple[Float[Array, "heads m d"], Float[Array, "m classes"], Float[Array, "heads m n"]]:
    """Compute h and f of some rows after one layer, and δ."""
    each = lambda numbers: numbers[:, None, None]  # noqa: E731
    squares = jnp.sum(memory.rows**2, axis=-1)[:, None]
    inner = h @ memory.rows.swapaxes(1, 2)
    kappa = inner / each(memory.norm)
    # ‖h‖² is left out of the squared distance: the softmax is the same without it.
    apart = each(steps.nearness / memory.spread) * (squares - 2 * inner)
    delta = jax.nn.softmax(-apart, where=labelled)
    weights = each(steps.linear) * kappa + each(steps.smooth) * delta
    f = f + jnp.sum(weights, axis=0) @ memory.errors
    return h - each(steps.whiten) * kappa @ memory.rows, f, delta


class Reader(eqx.Module):
    """φ, ψ, χ, b and W: the network that reads a table and chooses steps."""

    cell: Linear
    column: Linear
    table: Linear
    scale: tuple[Linear, Linear]
    steps: Steps
    """b, initialised with steps that work well alone."""
    change: Float[Array, "width layers heads 4"]
    """W"""

    def __init__(self, width: int, layers: int, heads: int, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 5)
        self.cell = Linear(2 * VIEWS + 1, width, key=keys[0])
        self.column = Linear(width, width, key=keys[1])
        self.table = Linear(width + 3, width, key=keys[2])
        self.scale = (
            Linear(2 * width, width, key=keys[3]),
            Linear(width, VIEWS * heads, key=keys[4]),
        )
        alike = jnp.zeros((layers, heads))
        self.steps = Steps(
            alike + logit(1.5 / 4),
            alike + jnp.log(jnp.expm1(jnp.geomspace(2.0, 12.0, heads))),
            alike + logit(0.3 / heads),
            alike + logit(0.3),
        )
        self.change = jnp.zeros((width, layers, heads, len(Steps._fields)))

    def __call__(
        self,
        v: Float[Array, "n features views"],
        y: Float[Array, "n classes"],
        used: Bool[Array, " features"],
    ) -> tuple[Float[Array, "heads features views"], Steps]:
        """Compute the scales a, divided by the root of the number of columns, and the steps."""
        of_class = jnp.sum(y, axis=0)
        share = y / jnp.maximum(of_class, 1)
        labelled = jnp.sum(y, axis=1)[:, None, None]
        within = v - jnp.einsum("nc,kc,kfv->nfv", y, share, v)
        alone = jnp.broadcast_to(jnp.sum(share, axis=1)[:, None, None], (*v.shape[:2], 1))
        seen = self.column(jax.nn.gelu(self.cell(jnp.concatenate([v, within, alone], axis=-1))))
        count = jnp.maximum(jnp.sum(of_class), 1)
        t = jnp.sum(seen * labelled, axis=0) / count

        columns = jnp.maximum(jnp.sum(used), 1).astype(v.dtype)
        size = jnp.log(jnp.stack([count, jnp.sum(of_class > 0) + 1.0, columns])) / 3
        mean = jnp.sum(t, axis=0, where=used[:, None]) / columns
        g = jax.nn.gelu(self.table(jnp.concatenate([mean, size])))
        first, second = self.scale
        both = jnp.concatenate([t, jnp.broadcast_to(g, t.shape)], axis=1)
        a = jax.nn.softplus(second(jax.nn.gelu(first(both)))) / jnp.sqrt(columns)
        a = a.reshape(len(t), VIEWS, -1).transpose(2, 0, 1)
        change = jnp.moveaxis(jnp.tensordot(g, self.change, axes=1), -1, 0)
        linear, nearness, smooth, whiten = map(jnp.add, self.steps, change)
        return a, Steps(
            4 * jax.nn.sigmoid(linear) / linear.shape[1],
            jax.nn.softplus(nearness),
            jax.nn.sigmoid(smooth),
            jax.nn.sigmoid(whiten),
        )


class InformedNetwork(Predictor):
    """The state of a support set, which new rows attend to."""

    features: Features
    scales: Float[Array, "heads features views"]
    steps: Steps
    memory: Memory
    start: Float[Array, " classes"]

    def __call__(self, x: Shaped[Array, "m ..."]) -> Float[Array, "m classes"]:
        return absent_last(self.read(x)[0], self.start > ABSENT)

    def attention(self, x: Shaped[Array, "m ..."]) -> Float[Array, "m n"]:
        """Return the attention of each row to each support row: δ, over all layers and heads."""
        return self.read(x)[1]

    def read(
        self, x: Shaped[Array, "m ..."]
    ) -> tuple[Float[Array, "m classes"], Float[Array, "m n"]]:
        labelled = self.features.labelled

        def one(rows: tuple[Array, Array], of_layer: tuple[Memory, Steps]):
            h, f, delta = layer(*rows, *of_layer, labelled)
            return (h, f), jnp.mean(delta, axis=0)

        begun = begin(self.features(flat(x)), self.scales, self.start)
        (_, f), delta = jax.lax.scan(one, begun, (self.memory, self.steps))
        return f, jnp.mean(delta, axis=0)


class InContext(Learner):
    """Reads a labelled table, and predicts the labels of other rows of it.

    `width` is the width of the network that reads columns; there are `layers` layers of `heads`
    heads.

    >>> learner = InContext(width=32, layers=8, heads=3, key=key)
    >>> learner.adapt(support, Categorical(3), key=key)(queries).shape
    (75, 3)
    """

    reader: Reader

    def __init__(self, width: int, layers: int, heads: int, *, key: PRNGKeyArray):
        self.reader = Reader(width, layers, heads, key=key)

    def adapt(
        self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray
    ) -> InformedNetwork:
        """Raises `ValueError` where targets are not classes."""
        if not isinstance(likelihood, Categorical):
            raise ValueError("it tells classes apart; this task's targets are not classes")
        labelled = support.y >= 0
        features = Features(flat(support.x), labelled)
        values, y = features(features.x), likelihood.encode(support.y)
        scales, steps = self.reader(values, y, features.used)
        start = jnp.where(jnp.any(y > 0, axis=0), 0.0, ABSENT)

        def one(rows: tuple[Array, Array], of_layer: Steps):
            memory = remember(*rows, y)
            h, f, _ = layer(*rows, memory, of_layer, labelled)
            return (h, f), memory

        _, memory = jax.lax.scan(one, begin(values, scales, start), steps)
        return InformedNetwork(features, scales, steps, memory, start)

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Compute the query loss with f itself, where classes that this table does not have stay
        near `ABSENT`. So tables with fewer classes have no effect on the other classes."""
        f, _ = self.adapt(task.support, task.likelihood, key=key).read(task.query.x)
        return task.likelihood.mean_loss(f, task.query.y), task.likelihood.metrics(f, task.query.y)


def begin(
    values: Float[Array, "m features views"],
    scales: Float[Array, "heads features views"],
    start: Float[Array, " classes"],
) -> tuple[Float[Array, "heads m d"], Float[Array, "m classes"]]:
    """Return h and f before the first layer."""
    scaled = (values * scales[:, None]).reshape(len(scales), len(values), -1)
    constant = jnp.ones((*scaled.shape[:2], 1))
    h = jnp.concatenate([scaled, constant], axis=-1)
    return h, jnp.broadcast_to(start, (len(values), len(start)))


def flat(x: Shaped[Array, "n ..."]) -> Float[Array, "n d"]:
    """Flatten inputs to vectors."""
    return x.reshape(x.shape[0], -1).astype(float)
