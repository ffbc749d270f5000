"""Meta networks (Munkhdalai and Yu, ICML 2017).

Weights on two time scales: slow weights, which meta-learning learns, and fast weights, which small
networks compute from loss gradients. A network u with weights Q embeds examples; its fast weights
come from a loss on the support set. A base learner b with weights W classifies the embeddings; its
fast weights come from each support example alone, and are kept in a memory M with the embeddings as
keys R:

    ∇ = ∂/∂Q loss_emb(u(Q, x'), y'),            Q* = d(G, ∇)                (eqs. 2, 4)
    ∇_i = ∂/∂W loss_task(b(W, r'_i), y'_i),     W*_i = m(Z, ∇_i) = M(i)     (eqs. 5, 6)
    r'_i = u(Q, Q*, x'_i) = R(i),               r = u(Q, Q*, x)             (eqs. 7, 8)
    a_i = softmax_i β cos(r, r'_i),             W* = Σ_i a_i M(i)           (eqs. 9, 10)
    p(y | x) = softmax b(W, W*, r)                                          (eq. 11)

A layer with both kinds of weights is augmented (section 3.3): its input goes through the slow
weights and through the fast weights, each with its own normalisation and ReLU, and the two results
are added; in the last layer, which has no ReLU, before the softmax. d and m read one coordinate at
a time, the logarithm of its gradient and the sign, and are the same for all coordinates. loss_emb
is the cross-entropy of a linear layer on u(Q, ·), loss_task that of b. The query loss is
differentiated through all of this.

Differences from the paper: d is a small network on the mean gradient of the support set, like m,
instead of an LSTM over gradients of examples; β is learned and starts at 10, in the paper it is 1;
blocks that pool do so before the two results are added; the batch statistics of the support set
normalise the support set and the queries."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree, Shaped

from quickstudy.learner import Learner, Predictor
from quickstudy.learners.distances import unit
from quickstudy.likelihood import Categorical, Likelihood
from quickstudy.networks import MLP, Conv4
from quickstudy.networks.layers import BatchNorm, Linear, Moments
from quickstudy.networks.network import Normalisation
from quickstudy.networks.recurrent import log_and_sign
from quickstudy.task import Examples

Embedding = Conv4 | MLP
"""The networks whose layers can be augmented."""


class Generator(eqx.Module):
    """d or m: fast weights from gradients, coordinate by coordinate."""

    layers: tuple[Linear, Linear, Linear]

    def __init__(self, width: int = 20, *, key: PRNGKeyArray):
        a, b, c = jax.random.split(key, 3)
        self.layers = (
            Linear(2, width, key=a),
            Linear(width, width, key=b),
            Linear(width, 1, key=c),
        )

    def __call__(self, gradient: PyTree) -> PyTree:
        """As many fast weights, in the same places."""
        return jax.tree.map(self.of_array, gradient)

    def of_array(self, g: Float[Array, "..."]) -> Float[Array, "..."]:
        first, second, last = self.layers
        h = jax.nn.relu(second(jax.nn.relu(first(log_and_sign(g.ravel())))))
        return last(h).reshape(g.shape)


Layer = Callable[[Array, Moments | None], tuple[Array, Moments | None]]


def layers_of(network: Embedding) -> list[Layer]:
    """Return each layer as a function of its input and, where other moments than its own normalise
    it, these moments. It returns the moments that it has used, too."""
    if isinstance(network, Conv4):
        return list(network.blocks)

    def hidden(linear: Linear, norm: BatchNorm | None) -> Layer:
        def layer(x: Array, given: Moments | None) -> tuple[Array, Moments | None]:
            x, used = (linear(x), None) if norm is None else norm(linear(x), given)
            return jax.nn.relu(x), used

        return layer

    norms = network.norms or (None,) * len(network.layers)
    return [hidden(linear, norm) for linear, norm in zip(network.layers, norms, strict=True)]


Used = list[tuple[Moments | None, Moments | None]]
"""The moments that normalised the slow and the fast half of each layer."""


def augmented(
    slow: Embedding, fast: Embedding, x: Shaped[Array, "n ..."], given: Used | None = None
) -> tuple[Float[Array, "n outputs"], Used]:
    """Compute u(Q, Q*, x), with statistics as in `Network`, in pairs."""
    if isinstance(slow, MLP):
        x = x.reshape(len(x), -1)
    used = []
    for i, (one, other) in enumerate(zip(layers_of(slow), layers_of(fast), strict=True)):
        of_slow, of_fast = (None, None) if given is None else given[i]
        (a, of_slow), (b, of_fast) = one(x, of_slow), other(x, of_fast)
        x = a + b
        used.append((of_slow, of_fast))
    if isinstance(slow, Conv4) and slow.averages:
        x = jnp.mean(x, axis=(1, 2))
    return x.reshape(len(x), -1), used


class Base(eqx.Module):
    """The weights of the base learner, slow or fast: a hidden layer and a layer of logits."""

    hidden: Linear
    last: Linear

    def __init__(self, inputs: int, width: int, way: int, *, key: PRNGKeyArray):
        a, b = jax.random.split(key)
        self.hidden, self.last = Linear(inputs, width, key=a), Linear(width, way, key=b)

    def __call__(self, r: Float[Array, " d"], fast: "Base | None" = None) -> Float[Array, " way"]:
        """Compute b(W, r), or b(W, W*, r)."""
        h = jax.nn.relu(self.hidden(r))
        if fast is None:
            return self.last(h)
        h = h + jax.nn.relu(fast.hidden(r))
        return self.last(h) + fast.last(h)


class MetaNetworks(Learner):
    """Two networks with slow weights, and the networks that compute their fast weights.

    The number of classes is fixed in training.

    >>> learner = MetaNetworks(Conv4((28, 28, 1), key=a), way=5, key=key)
    >>> learner.adapt(support, Categorical(5), key=key)(queries).shape      # logits
    (75, 5)
    """

    network: Embedding
    """u, with Q."""
    embedding_head: Linear
    """The linear layer of loss_emb."""
    base: Base
    """b, with W."""
    for_embedding: Generator
    """d, with G."""
    for_base: Generator
    """m, with Z."""
    log_beta: Float[Array, ""]
    way: int = eqx.field(static=True)

    def __init__(self, network: Embedding, way: int, *, width: int = 64, key: PRNGKeyArray):
        """`width` is the width of the base learner's hidden layer."""
        for_head, for_base, d, m = jax.random.split(key, 4)
        self.network = network
        self.embedding_head = Linear(network.outputs, way, key=for_head)
        self.base = Base(network.outputs, width, way, key=for_base)
        self.for_embedding, self.for_base = Generator(key=d), Generator(key=m)
        self.log_beta = jnp.log(10.0)
        self.way = way

    @property
    def normalised_by(self) -> Normalisation | None:
        return "support" if self.network.normalises else None

    @property
    def labels_are_names(self) -> bool:
        return False

    @property
    def absent_last(self) -> bool:
        return False

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> "Adapted":
        if not isinstance(likelihood, Categorical) or likelihood.size != self.way:
            raise ValueError(f"these meta networks tell {self.way} classes apart, no more or fewer")

        def embedding_loss(network: Embedding) -> Float[Array, ""]:
            logits = self.embedding_head(network(support.x)[0])
            return likelihood.mean_loss(logits, support.y)

        fast = self.for_embedding(eqx.filter_grad(embedding_loss)(self.network))  # Q*
        r, used = augmented(self.network, fast, support.x)

        def task_loss(base: Base, r: Array, y: Array) -> Float[Array, ""]:
            return likelihood.mean_loss(base(r)[None], y[None])

        each = jax.vmap(jax.grad(task_loss), (None, 0, 0))(self.base, r, support.y)
        return Adapted(self, fast, used, r, support.y >= 0, self.for_base(each))


class Adapted(Predictor):
    """Fast weights for a task, and for each of its support examples."""

    learner: MetaNetworks
    fast: Embedding
    """Q*."""
    statistics: Used
    keys: Float[Array, "n d"]
    """R."""
    present: Bool[Array, " n"]
    memory: Base
    """M: arrays have a leading axis of examples."""

    def __call__(self, x: Shaped[Array, "n ..."]) -> Float[Array, "n way"]:
        r, _ = augmented(self.learner.network, self.fast, x, self.statistics)
        similarities = jnp.exp(self.learner.log_beta) * unit(r) @ unit(self.keys).T
        a = jax.nn.softmax(jnp.where(self.present, similarities, -1e9))
        fast = jax.tree.map(lambda weights: jnp.tensordot(a, weights, 1), self.memory)
        return jax.vmap(self.learner.base)(r, fast)
