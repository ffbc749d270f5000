"""The transformer that learns in context: its layers against loops and against gradient descent,
and what it cannot see."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from quickstudy.errors import UserError
from quickstudy.learners.memory.in_context import Features, InContext, Steps, layer, remember
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.settings.learners import InContextSettings
from quickstudy.settings.task_spec import TaskSpec
from quickstudy.task import Episode, Examples

WAY, ROWS, FEATURES = 3, 9, 4
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, FEATURES)).astype(np.float32)
Y = np.asarray([0, 1, 2] * 3)
QUERIES = RNG.normal(size=(5, FEATURES)).astype(np.float32)
ALL = jnp.ones(ROWS, bool)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def learner() -> InContext:
    """With steps that differ from table to table, as trained ones do."""
    made = InContext(width=16, layers=3, heads=2, key=KEY)
    change = 0.2 * jax.random.normal(KEY, made.reader.change.shape)
    return eqx.tree_at(lambda made: made.reader.change, made, change)


@eqx.filter_jit
def adapted(learner, x, y, queries):
    predictor = learner.adapt(Examples(x, y), Categorical(WAY), key=KEY)
    return predictor(queries), predictor.attention(queries)


def logits(learner, x, y, queries):
    return np.asarray(adapted(learner, *map(jnp.asarray, (x, y, queries)))[0])


def softmax(z):
    return np.exp(z) / np.exp(z).sum(-1, keepdims=True)


def test_a_layer_is_its_equations():
    heads, n, m, d = 2, 4, 3, 5
    h, rows = RNG.normal(size=(heads, m, d)), RNG.normal(size=(heads, n, d))
    f, f_rows = RNG.normal(size=(m, WAY)), RNG.normal(size=(n, WAY))
    y = np.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]])  # the third has no label
    steps = Steps(*RNG.uniform(0.1, 2.0, size=(4, heads)))
    known = [0, 1, 3]
    expected_h, expected_f = h.copy(), f.copy()
    for k in range(heads):
        norm = np.sqrt(sum((rows[k, i] @ rows[k, j]) ** 2 for i in known for j in known))
        apart = [((rows[k, i] - rows[k, j]) ** 2).sum() for i in known for j in known]
        for q in range(m):
            kappa = {i: h[k, q] @ rows[k, i] / norm for i in known}
            near = {
                i: np.exp(-steps.nearness[k] * ((h[k, q] - rows[k, i]) ** 2).sum() / np.mean(apart))
                for i in known
            }
            for i in known:
                error = y[i] - softmax(f_rows[i])
                delta = near[i] / sum(near.values())
                expected_f[q] += (steps.linear[k] * kappa[i] + steps.smooth[k] * delta) * error
                expected_h[k, q] -= steps.whiten[k] * kappa[i] * rows[k, i]
    memory = remember(*(jnp.asarray(z, jnp.float32) for z in (rows, f_rows, y)))
    found_h, found_f, _ = layer(
        jnp.asarray(h), jnp.asarray(f), memory, steps, jnp.asarray(y.any(1))
    )
    np.testing.assert_allclose(found_h, expected_h, **CLOSE)
    np.testing.assert_allclose(found_f, expected_f, **CLOSE)


def test_linear_layers_are_gradient_descent_on_logistic_regression():
    """von Oswald et al., proposition 1, for the cross-entropy."""
    h = jnp.asarray(np.column_stack([X, np.ones(ROWS)]))[None]
    queries = jnp.asarray(np.column_stack([QUERIES, np.ones(5)]))[None]
    y, rate = jax.nn.one_hot(Y, WAY), 1.7
    none = jnp.zeros(1)
    steps = Steps(jnp.full(1, rate), none, none, none)
    f, of_queries = jnp.zeros((ROWS, WAY)), jnp.zeros((5, WAY))
    weight = jnp.zeros((FEATURES + 1, WAY))

    def loss(weight):
        return jnp.sum(optax.softmax_cross_entropy(h[0] @ weight, y))

    for _ in range(10):
        memory = remember(h, f, y)
        _, of_queries, _ = layer(queries, of_queries, memory, steps, ALL)
        _, f, _ = layer(h, f, memory, steps, ALL)
        weight = weight - rate / memory.norm[0] * jax.grad(loss)(weight)
    np.testing.assert_allclose(f, h[0] @ weight, **CLOSE)
    np.testing.assert_allclose(of_queries, queries[0] @ weight, **CLOSE)


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_steps_below_4_never_raise_the_loss_of_the_support_set(scale: float):
    y, f = jax.nn.one_hot(Y, WAY), jnp.zeros((ROWS, WAY))
    h = scale * jax.random.normal(KEY, (1, ROWS, 2))
    none, losses = jnp.zeros(1), []
    for _ in range(30):
        losses.append(float(jnp.mean(optax.softmax_cross_entropy(f, y))))
        _, f, _ = layer(h, f, remember(h, f, y), Steps(none + 3.99, none, none, none), ALL)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 0.01


def test_whitening_makes_all_directions_alike():
    h = jnp.asarray(RNG.normal(size=(1, 50, 3)) * [10, 3, 1])
    y, none = jax.nn.one_hot(np.arange(50) % WAY, WAY), jnp.zeros(1)
    spread = [np.linalg.svd(h[0], compute_uv=False)]
    for _ in range(20):
        h, _, _ = layer(
            h, y, remember(h, y, y), Steps(none, none, none, none + 0.3), jnp.ones(50, bool)
        )
        spread.append(np.linalg.svd(h[0], compute_uv=False))
    assert spread[0][0] / spread[0][2] > 8
    assert spread[-1][0] / spread[-1][2] < 1.5


def test_features_are_distances_and_ranks_among_labelled_rows():
    x = np.asarray([[1.0, 5.0], [3.0, 5.0], [8.0, 5.0], [99.0, 7.0]], np.float32)
    features = Features(jnp.asarray(x), jnp.asarray([True, True, True, False]))
    np.testing.assert_array_equal(features.used, [True, False])
    found = np.asarray(features(jnp.asarray([[2.0, 6.0], [8.0, 5.0]])))
    mean, spread = x[:3, 0].mean(), x[:3, 0].std()
    np.testing.assert_allclose(found[:, 0, 0], np.arcsinh((np.asarray([2, 8]) - mean) / spread))
    np.testing.assert_allclose(found[:, 0, 1], [-1 / 3, 2 / 3], rtol=1e-6)
    assert (found[:, 1] == 0).all()  # a single value among them


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


def test_classes_may_change_numbers(learner):
    turned = np.asarray([2, 0, 1])
    np.testing.assert_allclose(
        logits(learner, X, turned[Y], QUERIES)[:, turned], logits(learner, X, Y, QUERIES), **CLOSE
    )


def test_a_class_without_a_row_is_behind_the_others_and_does_not_count_in_training(learner):
    y = np.where(Y == 2, -1, Y)
    found = logits(learner, X, y, QUERIES)
    np.testing.assert_allclose(found[:, 2], found[:, :2].min(1) - 1, rtol=1e-5)
    nothing = logits(learner, X, np.full(ROWS, -1), QUERIES)
    np.testing.assert_allclose(nothing, 0)

    answers = np.argmin(found[:, :2], axis=1)
    support = Examples(jnp.asarray(X), jnp.asarray(y))
    queries = Examples(jnp.asarray(QUERIES), jnp.asarray(answers))
    loss = [
        eqx.filter_jit(learner.loss)(Episode(support, queries, Categorical(way)), key=KEY)[0]
        for way in (WAY, WAY - 1)
    ]
    np.testing.assert_allclose(*loss, rtol=1e-3)


def test_attention_is_to_labelled_rows_alone(learner):
    _, attention = adapted(learner, *map(jnp.asarray, (X, np.where(Y == 2, -1, Y), QUERIES)))
    np.testing.assert_allclose(attention.sum(1), 1, rtol=1e-5)
    assert (np.asarray(attention)[:, Y == 2] == 0).all()


def test_what_it_cannot_serve_is_refused(learner):
    support = Examples(jnp.asarray(X), jnp.asarray(Y))
    with pytest.raises(ValueError, match="not classes"):
        learner.adapt(support, Gaussian(1), key=KEY)
    with pytest.raises(UserError, match="up to 1000 features; these inputs have 3072"):
        InContextSettings().build(TaskSpec((32, 32, 3), Categorical(5), 10), KEY)
    with pytest.raises(UserError, match="--heads"):
        InContextSettings(heads=0)
