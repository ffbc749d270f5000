"""Prototypical networks against what they are: a linear classifier of features."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.learners.distances import class_means, squared_distances
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.likelihood import Categorical
from quickstudy.networks import MLP
from quickstudy.networks.layers import VARIANCE_FLOOR
from quickstudy.task import Episode, Examples, FixedTasks
from quickstudy.tasks.few_shot import FewShot

KEY = jax.random.key(0)
WAY = 3
RNG = np.random.default_rng(0)
SUPPORT = Examples(jnp.asarray(RNG.normal(size=(9, 5)), jnp.float32), jnp.asarray([0, 1, 2] * 3))
QUERIES = jnp.asarray(RNG.normal(size=(7, 5)), jnp.float32)


def plain(distance="euclidean") -> ProtoNet:
    return ProtoNet(MLP((5,), hidden=(6,), key=KEY), distance)


@eqx.filter_jit
def run(learner: ProtoNet, support: Examples, queries):
    return learner.adapt(support, Categorical(WAY), key=KEY)(queries)


def logits(learner: ProtoNet, support=SUPPORT) -> np.ndarray:
    return np.asarray(run(learner, support, QUERIES))


@eqx.filter_jit
def settled(learner: ProtoNet, tasks: FewShot) -> ProtoNet:
    return learner.settle(tasks, key=KEY)


def means(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([z[y == k].mean(0) for k in range(WAY)])


def test_it_is_a_linear_classifier_of_the_features():
    """-‖z - c_k‖² = 2 c_k·z - ‖c_k‖² - ‖z‖² (Snell et al. 2017, section 2.4)."""
    learner = plain()
    z, of_support = (np.asarray(learner.network(x)[0]) for x in (QUERIES, SUPPORT.x))
    c = means(of_support, np.asarray(SUPPORT.y))
    linear = z @ (2 * c).T - np.sum(c**2, 1)
    found = logits(learner)
    np.testing.assert_allclose(found - linear, np.tile(-np.sum(z**2, 1)[:, None], WAY), atol=1e-4)


def test_with_one_shot_it_is_the_nearest_neighbour_of_the_features():
    learner = plain()
    support = Examples(SUPPORT.x[:3], jnp.asarray([1, 2, 0]))
    z, of_support = (np.asarray(learner.network(x)[0]) for x in (QUERIES, support.x))
    nearest = np.argmin(np.linalg.norm(z[:, None] - of_support, axis=-1), axis=1)
    found = np.argmax(logits(learner, support), axis=1)
    np.testing.assert_array_equal(found, np.asarray(support.y)[nearest])


def test_cosine_is_the_angle_to_the_mean_with_a_learned_temperature():
    learner = eqx.tree_at(lambda n: n.log_temperature, plain("cosine"), jnp.asarray(0.7))
    z, of_support = (np.asarray(learner.network(x)[0]) for x in (QUERIES, SUPPORT.x))
    c = means(of_support, np.asarray(SUPPORT.y))
    cosine = (z @ c.T) / np.linalg.norm(z, axis=1)[:, None] / np.linalg.norm(c, axis=1)
    np.testing.assert_allclose(logits(learner), np.exp(0.7) * cosine, atol=1e-4)


def slowly(network: MLP, x: np.ndarray, given=None) -> tuple[np.ndarray, list]:
    """The network's features in NumPy, and the mean and variance of each layer."""
    used = []
    for i, (layer, norm) in enumerate(zip(network.layers, network.norms, strict=True)):
        x = x @ np.asarray(layer.weight) + np.asarray(layer.bias)
        mean, variance = (x.mean(0), x.var(0)) if given is None else given[i]
        used.append((mean, variance))
        x = (x - mean) / np.sqrt(variance + VARIANCE_FLOOR)
        x = np.maximum(np.asarray(norm.gamma) * x + np.asarray(norm.beta), 0)
    return x, used


def bent(network: MLP) -> MLP:
    """With scales and offsets other than 1 and 0."""
    rng = np.random.default_rng(1)
    return eqx.tree_at(
        lambda n: n.norms,
        network,
        jax.tree.map(lambda a: a + jnp.asarray(rng.normal(size=a.shape), a.dtype), network.norms),
    )


@pytest.mark.parametrize("mode", ["batch", "support", "running"])
def test_queries_are_normalised_by_the_declared_statistics(mode, clusters):
    network = bent(MLP((5,), hidden=(6, 4), normalise=True, key=KEY))
    tasks = FewShot(clusters(shape=(5,)), 4, 2, 3)
    learner = settled(ProtoNet(network, normalisation=mode), tasks)
    support, queries = np.asarray(SUPPORT.x), np.asarray(QUERIES)
    population = [tuple(np.asarray(m) for m in layer) for layer in learner.population]

    of_support, used = slowly(network, support, population if mode == "running" else None)
    given = {"batch": None, "support": used, "running": population}[mode]
    z, _ = slowly(network, queries, given)
    c = means(of_support, np.asarray(SUPPORT.y))
    expected = -np.sum((z[:, None] - c) ** 2, -1)
    np.testing.assert_allclose(logits(learner), expected, rtol=1e-3, atol=1e-3)


def test_population_statistics_are_those_of_many_training_inputs(clusters):
    network = bent(MLP((5,), hidden=(6,), normalise=True, key=KEY))
    source = clusters(shape=(5,))
    learner = settled(ProtoNet(network), FewShot(source, 4, 2, 3))
    _, [(mean, variance)] = slowly(network, np.asarray(source.x))
    [found] = learner.population
    spread = np.sqrt(variance)
    assert np.max(np.abs(found.mean - mean) / spread) < 0.3
    assert np.max(np.abs(np.sqrt(found.variance) / spread - 1)) < 0.25


def test_population_statistics_are_those_of_support_and_query_together():
    """Here they lie far apart."""
    network = bent(MLP((5,), hidden=(6,), normalise=True, key=KEY))
    query = Examples(SUPPORT.x[:4] + 5, SUPPORT.y[:4])
    task = Episode(SUPPORT, query, Categorical(WAY))
    learner = settled(ProtoNet(network), FixedTasks(jax.tree.map(lambda x: x[None], task), ()))
    _, [(mean, variance)] = slowly(network, np.concatenate([SUPPORT.x, query.x]))
    [found] = learner.population
    np.testing.assert_allclose(found.mean, mean, rtol=1e-4)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-4)


def test_prototypes_are_means_over_the_labelled_examples_of_each_class_however_many():
    learner, y = plain(), np.asarray([0, 0, 0, 0, 1, 2, -1, 2, -1])
    z, of_support = (np.asarray(learner.network(x)[0]) for x in (QUERIES, SUPPORT.x))
    expected = -np.sum((z[:, None] - means(of_support, y)) ** 2, -1)
    found = logits(learner, Examples(SUPPORT.x, jnp.asarray(y)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_squared_distances_are_squared_distances():
    a, b = RNG.normal(size=(4, 3)), RNG.normal(size=(5, 3))
    expected = np.sum((a[:, None] - b) ** 2, -1)
    np.testing.assert_allclose(
        squared_distances(jnp.asarray(a), jnp.asarray(b)), expected, rtol=1e-4
    )


def test_class_means_leave_out_the_unlabelled():
    z = RNG.normal(size=(6, 2))
    found = class_means(jnp.asarray(z), jnp.asarray([0, 1, -1, 1, -1, 0]), 3)
    expected = [(z[0] + z[5]) / 2, (z[1] + z[3]) / 2, [0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
