"""Matching networks against the paper's sums, written out."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize

from quickstudy.errors import UserError
from quickstudy.learners.baseline.nearest import NearestNeighbour
from quickstudy.learners.metric.matching import FullContext, MatchingNet
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.networks import MLP
from quickstudy.settings.learners import MatchingNetSettings
from quickstudy.task import Episode, Examples

KEY = jax.random.key(0)
WAY, D = 3, 4
RNG = np.random.default_rng(0)
X, QUERIES = (RNG.normal(size=(n, 5)).astype(np.float32) for n in (7, 6))
Y = np.asarray([2, 0, 1, 0, -1, 2, 0])
SUPPORT = Examples(jnp.asarray(X), jnp.asarray(Y))


def learner(scale: float | None = 3.0, reads: int | None = None, **options) -> MatchingNet:
    context = None if reads is None else FullContext(D, reads, key=jax.random.key(1))
    network = MLP((5,), hidden=(8, D), key=KEY)
    bent = eqx.tree_at(lambda n: n.layers[-1].bias, network, jnp.full(D, 0.7))
    return MatchingNet(bent, scale, context, **options)


@eqx.filter_jit
def probabilities(learner: MatchingNet, support: Examples, queries):
    return jax.nn.softmax(learner.adapt(support, Categorical(WAY), key=KEY)(queries))


def features(learner: MatchingNet, x) -> np.ndarray:
    return np.asarray(learner.network(jnp.asarray(x))[0], float)


def softmax(scores: list[float]) -> np.ndarray:
    weights = np.exp(np.asarray(scores))
    return weights / weights.sum()


def by_attention(f: np.ndarray, g: np.ndarray, y: np.ndarray, scale: float) -> np.ndarray:
    """Equation 1, example by example."""
    found = np.zeros((len(f), WAY))
    for query, row in zip(f, found, strict=True):
        cosines = [query @ one / np.linalg.norm(query) / np.linalg.norm(one) for one in g]
        for a, label in zip(softmax([scale * c for c in cosines]), y, strict=True):
            row[label] += a
    return found


def lstm(cell: eqx.nn.LSTMCell, x, h, c) -> tuple[np.ndarray, np.ndarray]:
    """One step of Hochreiter and Schmidhuber's, with a forget gate."""
    assert cell.bias is not None
    gates = np.asarray(cell.weight_ih) @ x + np.asarray(cell.weight_hh) @ h + np.asarray(cell.bias)
    i, f, new, o = np.split(gates, 4)
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(new)
    return sigmoid(o) * np.tanh(c), c


def test_labels_are_summed_by_the_softmax_of_cosines():
    plain = learner()
    seen = Y >= 0
    expected = by_attention(
        features(plain, QUERIES), features(plain, X[seen]), Y[seen], np.float32(3)
    )
    np.testing.assert_allclose(probabilities(plain, SUPPORT, QUERIES), expected, atol=1e-5)


def test_full_context_is_two_lstms_over_the_support_set_and_one_that_reads_it():
    """Equations 3 to 6 and appendix A.2 in plain loops."""
    full = learner(reads=2)
    context = full.context
    assert context is not None
    seen = Y >= 0
    z, queries = features(full, X[seen]), features(full, QUERIES)
    g = z.copy()
    for cell, order in ((context.forwards, 1), (context.backwards, -1)):
        h, c = np.zeros(D), np.zeros(D)
        for i in range(len(z))[::order]:
            h, c = lstm(cell, z[i], h, c)
            g[i] += h
    f = []
    for query in queries:
        h, c = query, np.zeros(D)
        for _ in range(2):
            r = softmax([h @ one for one in g]) @ g
            h, c = lstm(context.reader, np.concatenate([query, r]), h, c)
            h = h + query
        f.append(h)
    expected = by_attention(np.stack(f), g, Y[seen], np.float32(3))
    np.testing.assert_allclose(probabilities(full, SUPPORT, QUERIES), expected, atol=1e-5)


def test_without_reading_and_with_silent_lstms_full_context_is_the_plain_form():
    silent = jax.tree.map(jnp.zeros_like, learner(reads=0).context)
    full = eqx.tree_at(lambda n: n.context, learner(reads=0), silent)
    plain = probabilities(learner(), SUPPORT, QUERIES)
    np.testing.assert_allclose(probabilities(full, SUPPORT, QUERIES), plain, atol=1e-6)
    spoken = probabilities(learner(reads=0), SUPPORT, QUERIES)
    assert np.max(np.abs(spoken - plain)) > 1e-3


def test_with_one_shot_the_class_is_that_of_the_nearest_neighbour():
    plain = learner()
    support = Examples(jnp.asarray(X[:3]), jnp.asarray([1, 2, 0]))
    deep = Examples(jnp.asarray(features(plain, X[:3]), jnp.float32), support.y)
    nearest = NearestNeighbour("cosine").adapt(deep, Categorical(WAY), key=KEY)
    expected = np.argmax(nearest(jnp.asarray(features(plain, QUERIES), jnp.float32)), 1)
    found = np.argmax(probabilities(plain, support, QUERIES), 1)
    np.testing.assert_array_equal(found, expected)


class Table(MLP):
    """A network that may put every input wherever it likes: the input is its embedding."""

    def __call__(self, x, statistics=None):
        return x, ()


@pytest.mark.parametrize(("way", "scale"), [(5, 1.0), (8, 1.0), (5, 3.0)])
def test_with_a_given_scale_no_embedding_makes_the_loss_smaller_than_this(way, scale):
    """Embeddings at the corners of a regular simplex, with cosines of -1 / (N - 1), are the best
    that there are: log(1 + (N - 1) exp(-s N / (N - 1))). Found by descent from random ones."""
    matching = MatchingNet(Table((way,), hidden=(way,), key=KEY), scale)
    y = jnp.arange(way)

    @jax.jit
    @jax.value_and_grad
    def loss(z):
        z = jnp.asarray(z, float).reshape(way, way)
        task = Episode(Examples(z, y), Examples(z, y), Categorical(way))
        return matching.loss(task, key=KEY)[0]

    start = np.random.default_rng(1).normal(size=way * way)
    with jax.enable_x64(True):
        found = minimize(lambda z: [np.asarray(v) for v in loss(z)], start, jac=True).fun
    bound = np.log(1 + (way - 1) * np.exp(-scale * way / (way - 1)))
    assert found == pytest.approx(bound, rel=1e-4)


def test_over_many_classes_the_loss_of_episodes_cannot_be_smaller_than_with_cosines_of_0():
    """As the module says of scale 1: for C classes the mean cosine of two is at least
    -1 / (C - 1), and by Jensen so is the bound's; orthogonal classes all but reach it."""
    classes, way = 200, 5
    bound = np.log(1 + (way - 1) * np.exp(-1 - 1 / (classes - 1)))
    matching = MatchingNet(Table((classes,), hidden=(classes,), key=KEY), 1.0)
    rng = np.random.default_rng(2)
    run = jax.jit(lambda z: matching.loss(episode(z, way), key=KEY)[0])
    found = []
    for spread in (classes, 20, 3):  # dimensions
        z = np.zeros((classes, classes), np.float32)
        z[:, :spread] = np.eye(classes) if spread == classes else rng.normal(size=(classes, spread))
        episodes = [rng.choice(classes, way, replace=False) for _ in range(200)]
        found.append(np.mean([run(z[some]) for some in episodes]))
    assert bound < found[0] < bound + 0.005
    assert 0.90 < bound < found[0] < found[1] < found[2]


def episode(z, way: int) -> Episode:
    examples = Examples(jnp.asarray(z), jnp.arange(way))
    return Episode(examples, examples, Categorical(way))


def test_a_given_scale_stays_and_a_learned_one_moves():
    task = Episode(SUPPORT, Examples(jnp.asarray(QUERIES), jnp.zeros(6, int)), Categorical(WAY))

    @eqx.filter_jit
    @eqx.filter_grad
    def slope(learner):
        return learner.loss(task, key=KEY)[0]

    assert slope(learner(3.0)).log_scale == 0
    assert slope(learner(None)).log_scale != 0
    with pytest.raises(UserError, match="above 0"):
        MatchingNetSettings(scale=0)


def test_fine_tuning_matches_each_support_example_to_the_others_of_its_class():
    """The loss that it descends, written out: class 1 has one example, which may look at itself;
    the unlabelled example neither looks nor is looked at."""
    tuned = learner()
    z = features(tuned, X)
    losses = []
    for i in np.flatnonzero(Y >= 0):
        others = [j for j in np.flatnonzero(Y >= 0) if j != i or np.sum(Y[i] == Y) == 1]
        p = by_attention(z[i : i + 1], z[others], Y[others], 3.0)
        losses.append(-np.log(p[0, Y[i]]))
    found = eqx.filter_jit(tuned.loss_within)(tuned.network, SUPPORT, Categorical(WAY))
    assert found == pytest.approx(np.mean(losses), rel=1e-4)


def test_fine_tuning_takes_its_steps_at_test_and_none_in_training():
    plain, tuned = learner(), learner(tuner=optax.sgd(0.1), test_steps=5)
    task = Episode(SUPPORT, Examples(jnp.asarray(QUERIES), jnp.zeros(6, int)), Categorical(WAY))

    @eqx.filter_jit
    def figures(learner):
        network = learner.adapt(SUPPORT, Categorical(WAY), key=KEY).embedding.network
        within = learner.loss_within(network, SUPPORT, Categorical(WAY))
        return within, learner.loss(task, key=KEY)[0]

    before, untuned = figures(plain)
    after, in_training = figures(tuned)
    assert after < before - 0.05
    assert in_training == untuned


def test_matching_refuses_real_targets():
    with pytest.raises(ValueError, match="classify"):
        learner().adapt(Examples(SUPPORT.x, jnp.zeros((7, 1))), Gaussian(1), key=KEY)
