"""Graph networks against the paper's equations, the slow way, and the methods that they contain."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from quickstudy.learners.distances import squared_distances
from quickstudy.learners.metric.active_gnn import QUESTIONS, ActiveGNN, some_of
from quickstudy.learners.metric.gnn import GNN, graph_convolution, softmax_over_neighbours
from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.networks import MLP
from quickstudy.task import Examples
from quickstudy.tasks.partly_labelled import ActiveEpisode

KEY = jax.random.key(0)
WAY, SHOT, INPUTS, FEATURES = 3, 3, 5, 6
RNG = np.random.default_rng(0)
TRUE = np.repeat(np.arange(WAY), SHOT)
PARTLY = np.where(np.arange(SHOT * WAY) % SHOT == 0, TRUE, -1)
X = jnp.asarray(RNG.normal(size=(WAY * SHOT, INPUTS)), jnp.float32)
QUERIES = jnp.asarray(RNG.normal(size=(4, INPUTS)), jnp.float32)
NETWORK = MLP((INPUTS,), hidden=(FEATURES,), key=KEY)


def graph_network(**options) -> GNN:
    return GNN(NETWORK, WAY, width=4, edge_width=3, key=jax.random.key(1), **options)


def examples(y: np.ndarray) -> Examples:
    return Examples(X, jnp.asarray(y))


@eqx.filter_jit
def run(learner, support: Examples, queries):
    return learner.adapt(support, Categorical(WAY), key=KEY)(queries)


def logits(learner, y=TRUE) -> np.ndarray:
    return np.asarray(run(learner, examples(y), QUERIES))


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.01 * x)


def slow_score(edges, a: np.ndarray, b: np.ndarray) -> float:
    """MLP(|a - b|)."""
    h = np.abs(a - b)
    *hidden, last = edges.layers
    for layer in hidden:
        h = leaky(h @ np.asarray(layer.weight) + np.asarray(layer.bias))
    return (h @ np.asarray(last.weight) + np.asarray(last.bias)).item()


def slow_layer(layer, x: np.ndarray, present: list[int]) -> np.ndarray:
    """Node by node, message by message."""
    own, others = np.asarray(layer.theta)
    new = []
    for i in range(len(x)):
        neighbours = [j for j in present if j != i]
        a = np.exp([slow_score(layer.edges, x[i], x[j]) for j in neighbours])
        heard = sum(w * x[j] @ others for w, j in zip(a / a.sum(), neighbours, strict=True))
        new.append(x[i] @ own + heard + np.asarray(layer.bias))
    return np.stack(new)


def slow_logits(learner: GNN, y: np.ndarray) -> np.ndarray:
    """Query by query, each with a graph of its own."""
    found = []
    for query in QUERIES:
        z = np.asarray(learner.network(jnp.concatenate([query[None], X]))[0])
        labels = [
            np.full(WAY, 1 / WAY),
            *(np.eye(WAY)[k] if k >= 0 else np.full(WAY, 1 / WAY) for k in y),
        ]
        x = np.concatenate([z, labels], 1)
        known = [0, *(i + 1 for i in range(len(y)) if learner.unlabelled or y[i] >= 0)]
        for layer in learner.layers[:-1]:
            new = slow_layer(layer, x, known)
            spread = np.sqrt(new.var(1, keepdims=True) + 1e-5)
            x = np.concatenate([x, leaky((new - new.mean(1, keepdims=True)) / spread)], 1)
        found.append(slow_layer(learner.layers[-1], x, known)[0])
    return np.stack(found)


@pytest.mark.parametrize("unlabelled", [True, False])
def test_it_is_the_paper_s_equations_node_by_node(unlabelled):
    learner = graph_network(unlabelled=unlabelled)
    np.testing.assert_allclose(logits(learner, PARTLY), slow_logits(learner, PARTLY), atol=1e-4)


def test_a_graph_convolution_is_the_sum_over_operators_and_nodes():
    operators, x, theta = (RNG.normal(size=s) for s in ((2, 3, 4), (4, 5), (2, 5, 6)))
    expected = np.zeros((3, 6))
    for b in range(2):
        for i in range(3):
            for j in range(4):
                expected[i] += operators[b, i, j] * (x[j] @ theta[b])
    found = graph_convolution(*map(jnp.asarray, (operators, x, theta)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_rows_of_the_adjacency_sum_to_one_over_the_neighbours():
    neighbours = np.asarray([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0]], bool)
    found = np.asarray(
        softmax_over_neighbours(jnp.asarray(3 * RNG.normal(size=(4, 4))), jnp.asarray(neighbours))
    )
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert (found[~neighbours] == 0).all()
    assert (found[neighbours] > 0).all()


def test_the_unlabelled_change_the_answer_unless_they_are_left_out():
    moved = Examples(jnp.where((PARTLY < 0)[:, None], X + 1, X), jnp.asarray(PARTLY))
    with_them, without = graph_network(), graph_network(unlabelled=False)
    assert np.max(np.abs(run(with_them, moved, QUERIES) - logits(with_them, PARTLY))) > 1e-3
    np.testing.assert_allclose(
        run(without, moved, QUERIES), logits(without, PARTLY), rtol=1e-5, atol=1e-5
    )
    labelled = np.flatnonzero(PARTLY >= 0)
    alone = Examples(X[labelled], jnp.asarray(PARTLY[labelled]))
    np.testing.assert_allclose(
        run(without, alone, QUERIES), logits(without, PARTLY), rtol=1e-4, atol=1e-4
    )


def test_renaming_classes_renames_the_logits_together_with_the_parameters_of_labels():
    learner = graph_network()
    new_name = np.asarray([2, 0, 1])
    back = np.argsort(new_name)

    def rows(w):  # of what reads a node: those of its label
        order = np.arange(w.shape[-2])
        order[FEATURES : FEATURES + WAY] = FEATURES + back
        return w[..., order, :]

    turned = eqx.tree_at(
        lambda g: [w for k in g.layers for w in (k.theta, k.edges.layers[0].weight)],
        learner,
        replace_fn=rows,
    )
    last = lambda g: (g.layers[-1].theta, g.layers[-1].bias)  # noqa: E731
    turned = eqx.tree_at(last, turned, replace_fn=lambda w: w[..., back])
    np.testing.assert_allclose(
        logits(turned, new_name[TRUE])[:, new_name], logits(learner), rtol=1e-4, atol=1e-4
    )


def test_another_number_of_classes_and_real_targets_are_refused():
    learner = graph_network()
    with pytest.raises(ValueError, match="room for 3 labels, the task has 4"):
        learner.adapt(examples(TRUE), Categorical(4), key=KEY)
    with pytest.raises(ValueError, match="not classes"):
        learner.adapt(Examples(X, X), Gaussian(INPUTS), key=KEY)


LABELS = np.eye(WAY)[TRUE]
ZERO = np.zeros


def embedded() -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(NETWORK(QUERIES)[0]), np.asarray(NETWORK(X)[0])


def test_with_the_adjacency_of_siamese_networks_it_is_a_soft_nearest_neighbour():
    """Ã = softmax(-‖φ(x_i) - φ(x_j)‖) and the labels of the neighbours heard (section 4.1):
    p(k) = Σ_j softmax_j(-distance to j) 1[l_j = k], and at a low temperature the nearest's."""
    z, of_support = embedded()
    distance = np.linalg.norm(z[:, None] - of_support, axis=-1)
    theta = ZERO((1, FEATURES + WAY, WAY))
    theta[0, FEATURES:] = np.eye(WAY)  # what is heard is the label
    nodes = np.concatenate([of_support, LABELS], 1)

    def answer(sharpness: float) -> np.ndarray:
        adjacency = softmax_over_neighbours(
            jnp.asarray(-sharpness * distance), jnp.ones(distance.shape, bool)
        )
        return np.asarray(
            graph_convolution(adjacency[None], jnp.asarray(nodes), jnp.asarray(theta))
        )

    weight = np.exp(-distance) / np.exp(-distance).sum(1, keepdims=True)
    expected = [[w[k == TRUE].sum() for k in range(WAY)] for w in weight]
    np.testing.assert_allclose(answer(1.0), expected, rtol=1e-4, atol=1e-5)
    nearest = TRUE[np.argmin(distance, 1)]
    np.testing.assert_array_equal(np.argmax(answer(1e4), 1), nearest)


def test_with_the_adjacency_of_equal_labels_it_is_a_prototypical_network():
    """Ã_ij = 1/q where l_i = l_j (section 4.1): nodes become their class's mean, and a query that
    attends to these with softmax(-‖φ - mean‖²) and hears their labels says what that network
    says."""
    z, of_support = embedded()
    same = jnp.asarray((TRUE[:, None] == TRUE) / SHOT)
    keep = jnp.eye(FEATURES)[None]
    means = graph_convolution(same[None], jnp.asarray(of_support), keep)
    prototypical = ProtoNet(NETWORK)
    predictor = prototypical.adapt(examples(TRUE), Categorical(WAY), key=KEY)
    np.testing.assert_allclose(means, np.asarray(predictor.prototypes)[TRUE], rtol=1e-4, atol=1e-5)

    scores = -squared_distances(jnp.asarray(z), means)
    attention = softmax_over_neighbours(scores, jnp.ones(scores.shape, bool))
    hear = jnp.eye(WAY)[None]
    probabilities = graph_convolution(attention[None], jnp.asarray(LABELS), hear)
    expected = jax.nn.softmax(jnp.asarray(logits(prototypical)))
    np.testing.assert_allclose(probabilities, expected, rtol=1e-3, atol=1e-5)


def asking() -> ActiveGNN:
    return ActiveGNN(graph_network(), key=jax.random.key(2))


def test_it_asks_by_the_graph_of_the_support_set_and_the_entropy_of_its_answers():
    learner = asking()
    z = np.asarray(NETWORK(X)[0])
    labels = np.where((PARTLY >= 0)[:, None], np.eye(WAY)[PARTLY], 1 / WAY)
    x = np.concatenate([z, labels], 1)
    for layer in learner.gnn.layers[:-1]:
        new = slow_layer(layer, x, list(range(len(x))))
        new = (new - new.mean(1, keepdims=True)) / np.sqrt(new.var(1, keepdims=True) + 1e-5)
        x = np.concatenate([x, leaky(new)], 1)
    told = learner.adapt(examples(PARTLY), Categorical(WAY), key=KEY)(jnp.asarray(X))
    p = np.asarray(jax.nn.softmax(told))
    x = np.column_stack([x, -(p * np.log(p)).sum(1)])
    first, second = learner.attention
    h = x @ np.asarray(first.weight) + np.asarray(first.bias)
    expected = leaky(h) @ np.asarray(second.weight) + np.asarray(second.bias)
    found = learner.acquire(examples(PARTLY), Categorical(WAY), key=KEY)
    np.testing.assert_allclose(found, expected[:, 0], rtol=1e-4, atol=1e-4)


def test_questions_are_different_ones_of_those_allowed_all_choices_alike():
    allowed = jnp.asarray([True, False, True, True, True])
    draws = jax.vmap(lambda k: some_of(allowed, 2, key=k))(jax.random.split(KEY, 3000))
    pairs, counts = np.unique(np.asarray(draws), axis=0, return_counts=True)
    chosen = [i for i in range(5) if i != 1]
    assert {tuple(pair) for pair in pairs} == {(i, j) for i in chosen for j in chosen if i != j}
    assert stats.chisquare(counts).pvalue > 1e-3


def test_asking_learns_from_the_losses_of_the_questions_tried_and_the_network_from_their_mean():
    learner, queries = asking(), Examples(QUERIES, jnp.asarray([0, 1, 2, 0]))
    task = ActiveEpisode(examples(PARTLY), queries, Categorical(WAY), jnp.asarray(TRUE))
    tried = np.asarray(some_of(task.support.y < 0, QUESTIONS, key=KEY))
    assert (PARTLY[tried] < 0).all()

    def with_one(learner, i):
        known = PARTLY.copy()
        known[i] = TRUE[i]
        predictor = learner.adapt(examples(known), Categorical(WAY), key=KEY)
        return Categorical(WAY).mean_loss(predictor(queries.x), queries.y)

    @eqx.filter_jit
    def both(learner):
        losses = jnp.stack([with_one(learner, i) for i in tried])

        def expected(learner):
            a = jax.nn.softmax(learner.acquire(task.support, Categorical(WAY), key=KEY)[tried])
            return jnp.mean(jnp.stack([with_one(learner, i) for i in tried])), a @ losses

        of_network = eqx.filter_grad(lambda n: expected(n)[0])(learner).gnn
        of_asking = eqx.filter_grad(lambda n: expected(n)[1])(learner).attention
        found = eqx.filter_value_and_grad(lambda n: learner_loss(n))(learner)
        return found, expected(learner)[1], of_network, of_asking

    def learner_loss(learner):
        return learner.loss(task, key=KEY)[0]

    (found, slope), value, of_network, of_asking = both(learner)
    np.testing.assert_allclose(found, value, rtol=1e-5)
    for mine, other in ((slope.gnn, of_network), (slope.attention, of_asking)):
        for a, b in zip(*map(jax.tree.leaves, (mine, other)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    assert np.max(np.abs(slope.attention[0].weight)) > 0
