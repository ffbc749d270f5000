"""Meta networks against the paper's algorithm, example by example."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.learners.memory.meta_networks import MetaNetworks, augmented
from quickstudy.likelihood import Categorical
from quickstudy.networks import MLP, Conv4
from quickstudy.task import Examples

KEY = jax.random.key(0)
WAY, INPUTS, HIDDEN = 3, 4, 5
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(6, INPUTS)), jnp.float32)
Y = jnp.asarray([0, 2, 1, 1, 0, 2])
QUERIES = RNG.normal(size=(4, INPUTS)).astype(np.float32)
LEARNER = MetaNetworks(MLP((INPUTS,), hidden=(HIDDEN, HIDDEN), key=KEY), WAY, width=7, key=KEY)


@eqx.filter_jit
def adapted(learner, x, y):
    return learner.adapt(Examples(x, y), Categorical(WAY), key=KEY)


def relu(x):
    return np.maximum(x, 0)


def softmax(x):
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def affine(linear, x):
    return x @ np.asarray(linear.weight) + np.asarray(linear.bias)


def slow_embedding(x, fast=None):
    for i, layer in enumerate(LEARNER.network.layers):
        h = relu(affine(layer, x))
        x = h if fast is None else h + relu(affine(fast.layers[i], x))
    return x


def generated(generator, gradient):
    """One coordinate after the other."""

    def of_number(g):
        small = abs(g) < np.exp(-10)
        seen = np.asarray([-1, np.exp(10) * g] if small else [np.log(abs(g)) / 10, np.sign(g)])
        first, second, last = generator.layers
        return affine(last, relu(affine(second, relu(affine(first, seen))))).item()

    return jax.tree.map(lambda g: np.vectorize(of_number)(np.asarray(g, float)), gradient)


def test_fast_weights_are_made_read_and_added_as_the_algorithm_says():
    head, base = LEARNER.embedding_head, LEARNER.base
    # The gradient of the cross-entropy of `embedding_head` on the last layer's weights, by hand.
    found = adapted(LEARNER, X, Y)
    z = slow_embedding(np.asarray(X))
    one_hot = np.eye(WAY)[np.asarray(Y)]
    errors = (np.stack([softmax(row) for row in affine(head, z)]) - one_hot) / len(z)
    back = errors @ np.asarray(head.weight).T * (z > 0)
    first = relu(affine(LEARNER.network.layers[0], np.asarray(X)))
    expected = generated(LEARNER.for_embedding, first.T @ back)
    np.testing.assert_allclose(found.fast.layers[1].weight, expected, rtol=1e-3, atol=1e-5)

    r = slow_embedding(np.asarray(X), found.fast)
    np.testing.assert_allclose(found.keys, r, rtol=1e-4, atol=1e-5)
    memory = []
    for i in range(len(r)):
        h = relu(affine(base.hidden, r[i]))
        error = softmax(affine(base.last, h)) - one_hot[i]
        back = np.asarray(base.last.weight) @ error * (h > 0)
        gradient = (np.outer(r[i], back), back, np.outer(h, error), error)
        memory.append(generated(LEARNER.for_base, gradient))
    logits = found(jnp.asarray(QUERIES))
    for query, row in zip(slow_embedding(QUERIES, found.fast), logits, strict=True):
        cosines = [query @ k / np.linalg.norm(query) / np.linalg.norm(k) for k in r]
        a = softmax(10 * np.asarray(cosines))
        w1, b1, w2, b2 = (sum(a[i] * m[j] for i, m in enumerate(memory)) for j in range(4))
        h = relu(affine(base.hidden, query)) + relu(query @ w1 + b1)
        np.testing.assert_allclose(row, affine(base.last, h) + h @ w2 + b2, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_without_fast_weights_an_augmented_network_is_the_network(stride):
    network = Conv4((16, 16, 1), filters=3, stride=stride, key=KEY)
    none = jax.tree.map(jnp.zeros_like, network)
    x = jnp.asarray(RNG.normal(size=(4, 16, 16, 1)), jnp.float32)

    @jax.jit
    def both(x):
        z, used = augmented(network, none, x)
        expected, statistics = network(x)
        again, _ = augmented(network, none, x[:1], used)
        return (z, again), (expected, network(x[:1], statistics)[0])

    for found, expected in zip(*both(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_other_tasks_are_refused():
    with pytest.raises(ValueError, match="tell 3 classes apart"):
        LEARNER.adapt(Examples(X, Y), Categorical(4), key=KEY)
