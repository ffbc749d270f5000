"""The transformer that learns in context: its attention against loops, and what it cannot see."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.errors import UserError
from quickstudy.learners.memory.in_context import CLASSES, FLOOR, Attention, Features, InContext
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.recipes.learners.in_context import InContext as Settings
from quickstudy.recipes.settings import Problem
from quickstudy.task import Examples

WAY, ROWS, FEATURES = 3, 9, 4
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, FEATURES)).astype(np.float32)
Y = np.asarray([0, 1, 2] * 3)
QUERIES = RNG.normal(size=(5, FEATURES)).astype(np.float32)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def learner() -> InContext:
    return InContext(width=16, cells=2, row_width=32, rows=1, key=KEY)


@eqx.filter_jit
def adapted(learner, x, y, queries):
    predictor = learner.adapt(Examples(x, y), Categorical(WAY), key=KEY)
    return predictor(queries), predictor.attention(queries)


def logits(learner, x, y, queries):
    return np.asarray(adapted(learner, *map(jnp.asarray, (x, y, queries)))[0])


def test_attention_is_the_equation():
    """A(u; V) = W_o Σ_v softmax_v((W_q u)ᵀ W_k v / √d - b δ(u, v)) W_v v, over what is seen."""
    attention = Attention(32, near=True, key=KEY)
    u, v = RNG.normal(size=(2, 3, 32)), RNG.normal(size=(2, 5, 32))
    seen = np.asarray([True, False, True, True, False])
    memory = attention.remember(jnp.asarray(v, jnp.float32))
    apart = RNG.random(size=(2, 3, 5)).astype(np.float32)
    found = attention(jnp.asarray(u, jnp.float32), memory, jnp.asarray(seen), jnp.asarray(apart))
    linear = lambda layer, z: z @ np.asarray(layer.weight) + np.asarray(layer.bias)  # noqa: E731
    for c in range(2):
        q, kv = linear(attention.query, u[c]), linear(attention.memory, v[c])
        for m in range(3):
            read = np.zeros(32)
            for b, head in enumerate((slice(0, 16), slice(16, 32))):  # at first 0 and 1
                k, values = kv[:, :32][:, head], kv[:, 32:][:, head]
                scores = (
                    np.exp([q[m, head] @ k[i] / 4 - b * apart[c, m, i] for i in range(5)]) * seen
                )
                read[head] = sum(scores[i] / scores.sum() * values[i] for i in range(5))
            np.testing.assert_allclose(found[c, m], linear(attention.output, read), **CLOSE)


def test_a_row_takes_the_labels_of_those_that_it_looks_at(learner):
    found, attention = adapted(learner, *map(jnp.asarray, (X, Y, QUERIES)))
    np.testing.assert_allclose(attention.sum(1), 1, rtol=1e-5)
    by_class = np.stack([np.asarray(attention)[:, k == Y].sum(1) for k in range(WAY)], axis=1)
    np.testing.assert_allclose(np.exp(found), by_class + FLOOR, rtol=1e-4)


def test_features_are_distances_and_ranks_among_labelled_rows():
    x = np.asarray([[1.0, 5.0], [3.0, 5.0], [8.0, 5.0], [99.0, 7.0]], np.float32)
    features = Features(jnp.asarray(x), jnp.asarray([True, True, True, False]))
    np.testing.assert_array_equal(features.used, [True, False])
    found = np.asarray(features(jnp.asarray([[2.0, 6.0], [8.0, 5.0]])))
    mean, spread = x[:3, 0].mean(), x[:3, 0].std()
    np.testing.assert_allclose(found[0, :, 0], np.arcsinh((np.asarray([2, 8]) - mean) / spread))
    np.testing.assert_allclose(found[0, :, 1], [-1 / 3, 2 / 3], rtol=1e-6)
    assert (found[1] == 0).all()  # a single value among them


def test_neither_the_order_of_columns_nor_units_nor_columns_of_one_value_matter(learner):
    expected = logits(learner, X, Y, QUERIES)
    turned = RNG.permutation(FEATURES)
    np.testing.assert_allclose(
        logits(learner, X[:, turned], Y, QUERIES[:, turned]), expected, **CLOSE
    )
    np.testing.assert_allclose(logits(learner, 3 * X + 5, Y, 3 * QUERIES + 5), expected, **CLOSE)
    wider = [np.pad(x, [(0, 0), (0, 3)], constant_values=2.5) for x in (X, QUERIES)]
    np.testing.assert_allclose(logits(learner, wider[0], Y, wider[1]), expected, **CLOSE)
    assert np.abs(logits(learner, X[:, ::-1], Y, QUERIES) - expected).max() > 1e-3


def test_a_masked_set_is_the_shorter_set(learner):
    longer = np.concatenate([X, 7 + X[:4]])
    masked = np.concatenate([Y, -np.ones(4, int)])
    np.testing.assert_allclose(
        logits(learner, longer, masked, QUERIES), logits(learner, X, Y, QUERIES), **CLOSE
    )


def test_queries_are_told_one_by_one(learner):
    together = logits(learner, X, Y, QUERIES)
    np.testing.assert_allclose(logits(learner, X, Y, QUERIES[:1]), together[:1], **CLOSE)


def test_what_it_cannot_serve_is_refused(learner):
    support = Examples(jnp.asarray(X), jnp.asarray(Y))
    with pytest.raises(ValueError, match="11 classes: it tells up to 10 apart"):
        learner.adapt(support, Categorical(CLASSES + 1), key=KEY)
    with pytest.raises(ValueError, match="not classes"):
        learner.adapt(support, Gaussian(1), key=KEY)
    with pytest.raises(UserError, match="up to 128 features; these inputs have 784"):
        Settings().build(Problem((28, 28, 1), Categorical(5), 10), KEY)
    with pytest.raises(UserError, match="smaller --way"):
        Settings().build(Problem((8,), Categorical(20), 30), KEY)
    with pytest.raises(UserError, match="--row-width 50: it must be a multiple of 16"):
        Settings(row_width=50)
