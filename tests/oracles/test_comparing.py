"""Siamese networks and attentive recurrent comparators against slow, obvious versions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.learners.metric.arc import ARC, glimpse
from quickstudy.learners.metric.siamese import Siamese
from quickstudy.likelihood import Categorical
from quickstudy.networks import MLP
from quickstudy.networks.koch import Koch
from quickstudy.task import Episode, Examples

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
SUPPORT = Examples(
    jnp.asarray(RNG.normal(size=(7, 5)), jnp.float32), jnp.asarray([0, 1, 2, 1, -1, 0, 2])
)
QUERY = Examples(jnp.asarray(RNG.normal(size=(4, 5)), jnp.float32), jnp.asarray([2, 0, 1, 0]))


def siamese(penalty: float = 0.0) -> Siamese:
    learner = Siamese(MLP((5,), hidden=(6,), key=KEY), penalty)
    alpha = jnp.asarray(RNG.normal(size=6), jnp.float32)
    return eqx.tree_at(lambda n: (n.weight, n.bias), learner, (alpha, jnp.asarray(0.3)))


def slow_scores(learner: Siamese, a, b) -> np.ndarray:
    """s, pair by pair and feature by feature."""
    za, zb = (np.asarray(learner.network(jnp.asarray(x))[0]) for x in (a, b))
    scores = np.zeros((len(a), len(b)))
    for i in range(len(a)):
        for j in range(len(b)):
            scores[i, j] = learner.bias
            for k in range(za.shape[1]):
                scores[i, j] += learner.weight[k] * abs(za[i, k] - zb[j, k])
    return scores


def slow_surprise(scores: np.ndarray, same: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-scores))
    return -np.where(same, np.log(p), np.log(1 - p))


def test_a_class_scores_its_best_example():
    learner = siamese()
    scores = slow_scores(learner, QUERY.x, SUPPORT.x)
    y = np.asarray(SUPPORT.y)
    expected = np.stack([scores[:, y == k].max(1) for k in range(3)], axis=1)
    found = learner.adapt(SUPPORT, Categorical(3), key=KEY)(QUERY.x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_of_pairs_it_says_the_probability_that_both_are_of_one_class():
    learner = siamese()
    pairs = jnp.stack([QUERY.x, SUPPORT.x[:4]], axis=1)
    task = Episode(
        Examples(pairs[:0, 0], QUERY.y[:0]),
        Examples(pairs, jnp.asarray([0, 1, 1, 0])),
        Categorical(2),
    )
    scores = np.diag(slow_scores(learner, pairs[:, 0], pairs[:, 1]))
    predictor = learner.adapt(task.support, task.likelihood, key=KEY)
    p = jax.nn.softmax(predictor(pairs))[:, 1]
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-scores)), rtol=1e-4)
    expected = slow_surprise(scores, np.asarray([0, 1, 1, 0], bool)).mean()
    loss, metrics = learner.loss(task, key=KEY)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert metrics["accuracy"] == np.mean((scores > 0) == [0, 1, 1, 0])


def test_of_an_episode_all_pairs_count_those_of_one_class_as_much_as_those_of_two():
    learner = siamese(penalty=0.01)
    scores = slow_scores(learner, QUERY.x, SUPPORT.x)
    same = np.asarray(QUERY.y)[:, None] == np.asarray(SUPPORT.y)
    surprise = slow_surprise(scores, same)
    assert isinstance(learner.network, MLP)
    [layer] = learner.network.layers
    expected = (surprise[same].mean() + surprise[~same].mean()) / 2
    expected += 0.01 * np.sum(np.asarray(layer.weight) ** 2)
    loss, metrics = learner.loss(Episode(SUPPORT, QUERY, Categorical(3)), key=KEY)
    assert loss == pytest.approx(expected, rel=1e-4)
    right = (scores > 0) == same
    assert metrics["accuracy"] == pytest.approx((right[same].mean() + right[~same].mean()) / 2)


def slow_glimpse(picture: np.ndarray, where: np.ndarray, size: int) -> np.ndarray:
    """Place by place, pixel by pixel."""
    height, width, channels = picture.shape
    gamma = np.exp(1 - 2 * abs(where[2]))

    def kernel(side: int, centre: float, place: int) -> np.ndarray:
        apart = side / size * (1 - abs(where[2]))
        mu = (side - 1) * (centre + 1) / 2 + (place + 1 - (size + 1) / 2) * apart
        f = [1 / (np.pi * gamma * (1 + ((a - mu) / gamma) ** 2)) for a in range(side)]
        return np.asarray(f) / sum(f)

    seen = np.zeros((size, size, channels))
    for i in range(size):
        for j in range(size):
            rows, columns = kernel(height, where[1], i), kernel(width, where[0], j)
            for a in range(height):
                for b in range(width):
                    seen[i, j] += rows[a] * columns[b] * picture[a, b]
    return seen


@pytest.mark.parametrize("where", [(0.0, 0.0, 0.0), (0.4, -0.7, 0.6), (-1.0, 0.2, -0.9)])
def test_a_glimpse_is_a_sum_over_all_pixels(where):
    picture = RNG.random((6, 9, 2))
    found = glimpse(jnp.asarray(picture), jnp.asarray(where), 3)
    np.testing.assert_allclose(found, slow_glimpse(picture, np.asarray(where), 3), rtol=1e-4)


def test_a_comparator_looks_at_one_picture_then_the_other():
    """The recurrence written out with NumPy: Hochreiter and Schmidhuber's gates in the order in
    which the cell keeps them."""
    learner = ARC((6, 6, 1), glimpses=2, window=3, controller=4, key=KEY)
    one, other = RNG.random((2, 6, 6, 1))
    weights = {n: np.asarray(getattr(learner.cell, n)) for n in ("weight_ih", "weight_hh", "bias")}

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    h = c = np.zeros(4)
    for picture in (one, other, one, other):
        where = np.tanh(h @ np.asarray(learner.where.weight) + np.asarray(learner.where.bias))
        seen = slow_glimpse(picture, where, 3).ravel()
        gates = weights["weight_ih"] @ seen + weights["weight_hh"] @ h + weights["bias"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    expected = h @ np.asarray(learner.relation.weight)[:, 0] + float(learner.relation.bias[0])
    found = learner.compare(jnp.asarray(one), jnp.asarray(other))
    assert found == pytest.approx(expected, rel=1e-4)


def test_comparing_refuses_what_is_not_classification():
    from quickstudy.likelihood import Gaussian

    with pytest.raises(ValueError, match="not classes"):
        siamese().adapt(SUPPORT, Gaussian(1), key=KEY)


def test_kochs_network_has_the_sizes_of_the_paper():
    """Figure 4: 96, 42, 18 and 6 pixels a side after the convolutions."""
    network = eqx.filter_eval_shape(lambda: Koch((105, 105, 1), key=KEY))
    assert [c.kernel.shape for c in network.convolutions] == [
        (10, 10, 1, 64),
        (7, 7, 64, 128),
        (4, 4, 128, 128),
        (4, 4, 128, 256),
    ]
    assert network.last.weight.shape == (6 * 6 * 256, 4096)
    features = eqx.filter_eval_shape(lambda n, x: n(x)[0], network, jnp.zeros((2, 105, 105, 1)))
    assert features.shape == (2, 4096)
    with pytest.raises(ValueError, match="65 × 65"):
        Koch((64, 70, 1), key=KEY)
