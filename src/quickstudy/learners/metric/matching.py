"""Matching networks (Vinyals, Blundell, Lillicrap, Kavukcuoglu and Wierstra, NeurIPS 2016).

A query attends to every support example and averages their labels with its attention as weights, a
softmax of the cosines c between embeddings:

    p(y = k | x, S) = Σ_{i: y_i = k} a(x, x_i)                                       (eq. 1)
    a(x, x_i) = exp(s c(f(x), g(x_i))) / Σ_j exp(s c(f(x), g(x_j)))                  (section 2.1.1)

In the plain form f and g are one network f'. With full context embeddings, the embeddings of
support examples and queries depend on the whole support set:

    g(x_i) = h→_i + h←_i + f'(x_i),  the states of two LSTMs run over S,             (appendix A.2)
             one forwards, one backwards
    f(x) = h_K, where                                                                (section 2.1.2)
    ĥ_k, c_k = LSTM(f'(x), [h_{k-1}, r_{k-1}], c_{k-1})                              (eq. 3)
    h_k = ĥ_k + f'(x)                                                                (eq. 4)
    r_{k-1} = Σ_i a(h_{k-1}, g(x_i)) g(x_i)                                          (eq. 5)
    a(h_{k-1}, g(x_i)) = softmax_i(h_{k-1}ᵀ g(x_i))                                  (eq. 6)

Then the order of the support set matters. Unlabelled examples are ignored everywhere.

Differences from the paper: its s is 1; here s is learned unless it is given. A query whose cosine
is 1 with its class and b with the N - 1 others has the loss log(1 + (N - 1) exp(-s (1 - b))). Over
many classes b cannot be below 0 on average, and then with s = 1 no network's mean loss is below
0.90 at 5 ways or 2.08 at 20; docs/methods/matching.md has what that costs. The paper does not
specify the initial state of the reading: here ĥ_0 = c_0 = 0, so K = 0 is f = f'. It does not
specify the fine-tuning to a support set either: here it takes gradient steps of f' on the loss of
matching each support example with the others, or with itself where its class has no other."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from quickstudy.learner import Metrics
from quickstudy.learners.descent import descend
from quickstudy.learners.distances import unit
from quickstudy.learners.embedding import EmbeddingLearner, EmbeddingPredictor
from quickstudy.likelihood import Categorical, Likelihood, absent_last
from quickstudy.networks.embedding import Embedding
from quickstudy.networks.network import Network, Statistics
from quickstudy.task import Episode, Examples

INITIAL_SCALE = 10.0


class FullContext(eqx.Module):
    """The LSTMs that embed support examples and queries in the context of the support set."""

    forwards: eqx.nn.LSTMCell
    backwards: eqx.nn.LSTMCell
    reader: eqx.nn.LSTMCell
    read_steps: int = eqx.field(static=True)

    def __init__(self, features: int, read_steps: int, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 3)
        self.forwards = eqx.nn.LSTMCell(features, features, key=keys[0])
        self.backwards = eqx.nn.LSTMCell(features, features, key=keys[1])
        self.reader = eqx.nn.LSTMCell(2 * features, features, key=keys[2])
        self.read_steps = read_steps

    def of_support(
        self, z: Float[Array, "n d"], labelled: Bool[Array, " n"]
    ) -> Float[Array, "n d"]:
        """Compute g of the support set from its f', in its order; states skip unlabelled
        examples."""

        def along(cell: eqx.nn.LSTMCell) -> Callable:
            def step(state, example):
                z, labelled = example
                moved = cell(z, state)
                state = jax.tree.map(lambda new, old: jnp.where(labelled, new, old), moved, state)
                return state, state[0]

            return step

        start = (jnp.zeros_like(z[0]), jnp.zeros_like(z[0]))
        _, before = jax.lax.scan(along(self.forwards), start, (z, labelled))
        _, after = jax.lax.scan(along(self.backwards), start, (z, labelled), reverse=True)
        return before + after + z

    def of_queries(
        self, z: Float[Array, "m d"], g: Float[Array, "n d"], labelled: Bool[Array, " n"]
    ) -> Float[Array, "m d"]:
        """Compute f of queries from their f' and g of the support set."""
        h, c = z, jnp.zeros_like(z)
        for _ in range(self.read_steps):
            r = jax.nn.softmax(h @ g.T, where=labelled) @ g
            # The cell's input and state enter the gates alike, so r may come with the input.
            h, c = jax.vmap(self.reader)(jnp.concatenate([z, r], axis=-1), (h, c))
            h = h + z
        return h


class Matched(EmbeddingPredictor):
    """An embedded support set."""

    embedding: Embedding
    g: Float[Array, "n d"]
    belongs: Bool[Array, "n classes"]
    scale: Float[Array, ""]
    context: FullContext | None

    def __call__(self, x: Shaped[Array, "m ..."]) -> Float[Array, "m classes"]:
        scores = self.scores(self.embedding(x), self.belongs[None])
        return absent_last(scores, jnp.any(self.belongs, axis=0))

    def scores(
        self, z: Float[Array, "m d"], looks_at: Bool[Array, "#m n classes"]
    ) -> Float[Array, "m classes"]:
        """Compute the logits of p(y | x, S) from f' of the queries, each of which attends to some
        examples; -∞ for a class without such an example."""
        return jax.nn.logsumexp(self.similarities(z)[:, :, None], axis=1, where=looks_at)

    def attention(self, x: Shaped[Array, "m ..."]) -> Float[Array, "m n"]:
        """a(x, x_i); 0 for unlabelled examples."""
        labelled = jnp.any(self.belongs, axis=1)
        return jax.nn.softmax(self.similarities(self.embedding(x)), where=labelled)

    def similarities(self, z: Float[Array, "m d"]) -> Float[Array, "m n"]:
        """s c(f(x), g(x_i)), from f' of the queries."""
        f = z
        if self.context is not None:
            f = self.context.of_queries(z, self.g, jnp.any(self.belongs, axis=1))
        return self.scale * unit(f) @ unit(self.g).T


class MatchingNet(EmbeddingLearner):
    """A network whose features match examples of a class, on classes that it has never seen.

    `scale` is what cosines are multiplied by; by default it is learned. `context` embeds in full
    context. `tuner` takes `test_steps` steps on a new support set, not in training.

    >>> learner = MatchingNet(Conv4((28, 28, 1), key=key))
    >>> learner.adapt(support, Categorical(5), key=key)(queries).shape      # logits
    (75, 5)
    """

    network: Network
    context: FullContext | None
    log_scale: Float[Array, ""]
    population: Statistics | None
    learns_scale: bool = eqx.field(static=True)
    tuner: optax.GradientTransformation = eqx.field(static=True)
    test_steps: int = eqx.field(static=True)

    def __init__(
        self,
        network: Network,
        scale: float | None = None,
        context: FullContext | None = None,
        tuner: optax.GradientTransformation | None = None,
        test_steps: int = 0,
    ):
        self.network = network
        self.context = context
        self.log_scale = jnp.log(jnp.asarray(INITIAL_SCALE if scale is None else scale, float))
        self.population = None
        self.learns_scale = scale is None
        self.tuner = optax.sgd(0.01) if tuner is None else tuner
        self.test_steps = test_steps

    @property
    def embedding(self) -> Embedding:
        return Embedding(self.network, self.population)

    @property
    def order_matters(self) -> bool:
        return self.context is not None

    def adapt(self, support: Examples, likelihood: Likelihood, *, key: PRNGKeyArray) -> Matched:
        network = self.network
        if self.test_steps:
            network = descend(
                lambda network: self.loss_within(network, support, likelihood),
                network,
                self.tuner,
                self.test_steps,
            )
        return self.matched(network, support, likelihood)

    def loss(self, task: Episode, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """The query loss of matching, without fine-tuning."""
        predictions = self.matched(self.network, task.support, task.likelihood)(task.query.x)
        loss = task.likelihood.mean_loss(predictions, task.query.y)
        return loss, task.likelihood.metrics(predictions, task.query.y)

    def matched(self, network: Network, support: Examples, likelihood: Likelihood) -> Matched:
        """Embed the support set by `network`."""
        if not isinstance(likelihood, Categorical):
            raise ValueError("matching networks classify; this task's targets are not classes")
        belongs = support.y[:, None] == jnp.arange(likelihood.size)
        embedding = Embedding(network, self.population)
        g = embedding(support.x)
        if self.context is not None:
            g = self.context.of_support(g, jnp.any(belongs, axis=1))
        scale = jnp.exp(self.log_scale)
        scale = scale if self.learns_scale else jax.lax.stop_gradient(scale)
        return Matched(embedding, g, belongs, scale, self.context)

    def loss_within(
        self, network: Network, support: Examples, likelihood: Likelihood
    ) -> Float[Array, ""]:
        """Compute the loss of matching each support example with the others, or with itself where
        its class has no other."""
        matched = self.matched(network, support, likelihood)
        alike = support.y[:, None] == support.y
        alone = jnp.sum(alike, axis=1) == 1
        looks_at = ~jnp.eye(len(support.y), dtype=bool) | alone[:, None]
        z = matched.embedding(support.x)
        looks_at = looks_at[:, :, None] & matched.belongs
        scores = matched.scores(z, looks_at)
        # A sum over no example is -∞ as it is, but its second derivative is no number.
        scores = jnp.where(jnp.any(looks_at, axis=1), scores, -jnp.inf)
        return likelihood.mean_loss(scores, support.y)
