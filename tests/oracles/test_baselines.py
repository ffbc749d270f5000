"""The baselines against scikit-learn's versions of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier

from quickstudy.learners.baseline.deep_nearest import DeepNearestNeighbour
from quickstudy.learners.baseline.finetuning import FineTuning
from quickstudy.learners.baseline.nearest import NearestNeighbour
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.networks import MLP, WithHead
from quickstudy.task import Episode, Examples

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X, QUERIES = RNG.normal(size=(12, 2, 3)), RNG.normal(size=(200, 2, 3))
Y = np.asarray([0, 1, 2, 3] * 3)
SUPPORT = Examples(jnp.asarray(X, jnp.float32), jnp.asarray(Y))


def test_nearest_neighbour_is_scikit_learns():
    predictor = NearestNeighbour().adapt(SUPPORT, Categorical(4), key=KEY)
    found = predictor(jnp.asarray(QUERIES, jnp.float32))
    reference = KNeighborsClassifier(1).fit(X.reshape(12, -1), Y)
    expected = reference.predict(QUERIES.reshape(200, -1))
    np.testing.assert_array_equal(np.argmax(found, 1), expected)


@pytest.mark.parametrize("invert", [False, True])
def test_by_the_cosine_logits_are_the_largest_cosine_of_each_class(invert):
    """Of inputs, or of 1 - x where dark and bright change places: another angle."""
    predictor = NearestNeighbour("cosine", invert).adapt(SUPPORT, Categorical(4), key=KEY)
    x, queries = X.reshape(12, -1), QUERIES.reshape(200, -1)
    if invert:
        x, queries = 1 - x, 1 - queries
    cosines = 1 - cdist(queries, x, "cosine")
    expected = np.stack([cosines[:, k == Y].max(1) for k in range(4)], axis=1)
    found = predictor(jnp.asarray(QUERIES, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_nearest_neighbour_passes_over_the_unlabelled():
    y = np.where(np.arange(12) < 8, Y, -1)
    support = Examples(SUPPORT.x, jnp.asarray(y))
    found = NearestNeighbour().adapt(support, Categorical(4), key=KEY)(SUPPORT.x)
    reference = KNeighborsClassifier(1).fit(X[:8].reshape(8, -1), Y[:8])
    np.testing.assert_array_equal(np.argmax(found, 1), reference.predict(X.reshape(12, -1)))


def finetuning(steps: int, whole_network: bool = False, optimizer=None) -> FineTuning:
    classifier = WithHead(MLP((2, 3), hidden=(3,), key=KEY), 7, key=KEY)
    return FineTuning(classifier, optimizer or optax.sgd(0.5), steps, whole_network)


@eqx.filter_jit
def adapt(learner: FineTuning):
    predictor = learner.adapt(SUPPORT, Categorical(4), key=KEY)
    return predictor, Categorical(4).mean_loss(predictor(SUPPORT.x), SUPPORT.y)


def support_loss(learner: FineTuning) -> float:
    return float(adapt(learner)[1])


def test_the_tuned_head_approaches_logistic_regression():
    learner = finetuning(2000, optimizer=optax.adam(0.1))
    features = np.asarray(learner.classifier.body(SUPPORT.x)[0])
    reference = LogisticRegression(C=np.inf, max_iter=10000, tol=1e-9).fit(features, Y)
    optimum = log_loss(Y, reference.predict_proba(features))
    assert 0.05 < optimum < np.log(4) - 0.05  # neither separable nor hopeless
    assert support_loss(learner) == pytest.approx(optimum, abs=2e-3)
    assert support_loss(finetuning(3)) > optimum + 0.02


def test_before_the_first_step_the_head_knows_nothing():
    assert support_loss(finetuning(0)) == pytest.approx(np.log(4), rel=1e-5)


def test_only_the_whole_network_moves_the_features():
    start = finetuning(0).classifier.body.layers[0].weight
    head, whole = (adapt(finetuning(5, whole_network=w))[0].network for w in (False, True))
    np.testing.assert_array_equal(head.body.layers[0].weight, start)
    assert np.max(np.abs(whole.body.layers[0].weight - start)) > 1e-3


@pytest.fixture(scope="module")
def normalising():
    """A classifier with batch normalisation, and the statistics of other inputs than the tests'."""
    classifier = WithHead(MLP((2, 3), hidden=(5,), normalise=True, key=KEY), 7, key=KEY)
    _, population = classifier.body(jnp.asarray(2 * QUERIES + 1, jnp.float32))
    return classifier, population


def test_a_step_of_the_whole_network_normalises_by_the_training_inputs(normalising):
    classifier, population = normalising
    learner = FineTuning(classifier, optax.sgd(0.5), 1, whole_network=True)
    learner = eqx.tree_at(lambda x: x.population, learner, population, is_leaf=lambda x: x is None)
    zero = WithHead(classifier.body, 4, key=KEY)
    zero = eqx.tree_at(lambda n: n.head, zero, jax.tree.map(jnp.zeros_like, zero.head))

    def loss(network):
        return Categorical(4).mean_loss(network(SUPPORT.x, population)[0], SUPPORT.y)

    gradient = eqx.filter_grad(loss)(zero)
    expected = jax.tree.map(
        lambda w, g: w - 0.5 * g, eqx.filter(zero, eqx.is_inexact_array), gradient
    )
    found = learner.adapt(SUPPORT, Categorical(4), key=KEY).network
    for a, b in zip(
        jax.tree.leaves(expected),
        jax.tree.leaves(eqx.filter(found, eqx.is_inexact_array)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [0, 3])
def test_deep_features_are_compared_as_they_were_trained_or_tuned(normalising, steps):
    classifier, population = normalising
    parts = (classifier, optax.sgd(0.5), steps)
    learners = (DeepNearestNeighbour(*parts, "euclidean"), FineTuning(*parts, whole_network=True))
    deep, tuned = (
        eqx.tree_at(lambda x: x.population, learner, population, is_leaf=lambda x: x is None)
        for learner in learners
    )
    body = tuned.adapt(SUPPORT, Categorical(4), key=KEY).network.body
    queries = jnp.asarray(QUERIES, jnp.float32)
    x, features = (np.asarray(body(x, population)[0]) for x in (SUPPORT.x, queries))
    distances = cdist(features, x, "sqeuclidean")
    expected = -np.stack([distances[:, k == Y].min(1) for k in range(4)], axis=1)
    found = deep.adapt(SUPPORT, Categorical(4), key=KEY)(queries)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_training_is_classification_of_all_classes():
    learner = finetuning(1)
    batch = Examples(SUPPORT.x, jnp.asarray(Y + 3))
    nothing = Examples(SUPPORT.x[:0], batch.y[:0])
    loss, metrics = learner.loss(Episode(nothing, batch, Categorical(7)), key=KEY)
    logits = np.asarray(learner.classifier(batch.x)[0])
    assert loss == pytest.approx(log_loss(Y + 3, jax.nn.softmax(logits), labels=range(7)), rel=1e-4)
    assert metrics["accuracy"] == pytest.approx(np.mean(np.argmax(logits, 1) == Y + 3))


@pytest.mark.parametrize("learner", [NearestNeighbour(), finetuning(1)])
def test_classifiers_refuse_real_targets(learner):
    with pytest.raises(ValueError, match="classifies"):
        learner.adapt(Examples(SUPPORT.x, jnp.zeros((12, 1))), Gaussian(1), key=KEY)
