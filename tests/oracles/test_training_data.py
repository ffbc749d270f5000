"""Learned training data: each part's gradient against finite differences and by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.metrics import roc_auc_score

from quickstudy.experiments.example_weights import area_under_curve
from quickstudy.learners.bilevel.training_data import (
    FreeWeights,
    LearnedData,
    LossWeights,
    NoisyInputs,
    TrainingData,
    WarpedInputs,
)
from quickstudy.likelihood import Categorical
from quickstudy.metagradients import Backpropagation
from quickstudy.networks import MLP, WithHead
from quickstudy.task import Episode, Examples
from quickstudy.tasks.mislabelled import Mislabelled, NumberedEpisode, flipped
from quickstudy.training import meta_train

KEY = jax.random.key(0)
RATE = 0.3


@pytest.fixture
def double_precision():
    with jax.enable_x64(True):
        yield


def task() -> NumberedEpisode:
    rng = np.random.default_rng(0)
    examples = [
        Examples(jnp.asarray(rng.normal(size=(n, 3))), jnp.asarray(rng.integers(0, 2, n)))
        for n in (4, 5)
    ]
    return NumberedEpisode(*examples, Categorical(2), jnp.asarray([6, 0, 3, 6]))


def picture_task() -> NumberedEpisode:
    """Of 5 × 5 images, smooth enough for interpolation."""
    e, rng = task(), np.random.default_rng(4)

    def pictures(n: int) -> jax.Array:
        rows, columns = rng.normal(size=(2, n, 5))
        return jnp.asarray((rows[:, :, None] + columns[:, None])[..., None])

    support, query = (Examples(pictures(len(x.y)), x.y) for x in (e.support, e.query))
    return NumberedEpisode(support, query, e.likelihood, e.numbers)


def network() -> WithHead:
    return WithHead(MLP((3,), hidden=(4,), key=KEY), 2, key=KEY)


def clean_loss_after_a_step(learner: LearnedData, task: NumberedEpisode):
    """The slow obvious version, with its own gradient descent."""

    def training(network):
        x = learner.data.inputs(task.support.x, KEY)
        losses = task.likelihood.negative_log_likelihood(network(x)[0], task.support.y)
        at_w = task.likelihood.negative_log_likelihood(learner.network(x)[0], task.support.y)
        v = learner.data.weights(task.numbers, jax.lax.stop_gradient(at_w))
        return jnp.sum(v * losses) / jnp.sum(v)

    gradient = eqx.filter_grad(training)(learner.network)
    ahead = eqx.apply_updates(learner.network, jax.tree.map(lambda g: -RATE * g, gradient))
    return task.likelihood.mean_loss(ahead(task.query.x)[0], task.query.y), gradient


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("kind", [FreeWeights, LossWeights, NoisyInputs, WarpedInputs])
def test_data_follow_the_clean_loss_a_step_ahead_and_the_network_its_training_loss(kind):
    e, made = task(), network()
    data = {
        FreeWeights: lambda: FreeWeights(jnp.linspace(-1, 1, 8)),
        LossWeights: lambda: LossWeights(3, key=KEY),
        NoisyInputs: lambda: NoisyInputs(jnp.asarray(-1.0)),
        WarpedInputs: lambda: WarpedInputs(jnp.asarray([-1.0, -1.5, -0.3])),
    }[kind]()
    if kind is WarpedInputs:
        e, made = picture_task(), WithHead(MLP((5, 5, 1), hidden=(4,), key=KEY), 2, key=KEY)
    learner = LearnedData(made, data, RATE)
    found, _ = eqx.filter_jit(Backpropagation().of_task)(learner, e, KEY)
    _, expected = eqx.filter_jit(clean_loss_after_a_step)(learner, e)
    for one, other in zip(*map(jax.tree.leaves, (found.network, expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)

    @jax.jit
    def moved(leaves):
        return clean_loss_after_a_step(
            eqx.tree_at(lambda learner: jax.tree.leaves(learner.data), learner, leaves), e
        )[0]

    leaves, slopes = jax.tree.leaves(data), jax.tree.leaves(found.data)
    rng = np.random.default_rng(1)
    ways = [jnp.asarray(rng.normal(size=leaf.shape)) for leaf in leaves]
    ahead, behind = (
        moved([leaf + s * 1e-6 * d for leaf, d in zip(leaves, ways, strict=True)]) for s in (1, -1)
    )
    claimed = sum(float(jnp.sum(g * d)) for g, d in zip(slopes, ways, strict=True))
    assert claimed == pytest.approx(float(ahead - behind) / 2e-6, rel=1e-5, abs=1e-9)
    assert abs(claimed) > 1e-5


def test_images_turn_grow_and_move_as_much_as_their_strengths_say():
    """A bright spot at 4 pixels from the middle, over 2,000 draws: by the angle, the logarithm of
    the distance, and the place of the middle."""
    row, column = np.indices((21, 21)) - 10.0
    spots = {
        place: np.exp(-((row - place) ** 2 + column**2) / 4)[..., None].astype(np.float32)
        for place in (0, 4)
    }

    def centres(place: int, *strengths: float) -> np.ndarray:
        data = WarpedInputs(jnp.log(jnp.asarray(strengths)))
        x = jnp.broadcast_to(spots[place], (2000, 21, 21, 1))
        x = np.asarray(eqx.filter_jit(data.inputs)(x, KEY))[..., 0]
        mass = x.sum((1, 2))
        return np.stack([(x * at).sum((1, 2)) / mass for at in (row, column)], 1)

    none = 1e-6
    turned = centres(4, 0.3, none, none)
    assert np.std(np.arctan2(turned[:, 1], turned[:, 0])) == pytest.approx(0.3, rel=0.05)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 4, atol=0.1)
    grown = centres(4, none, 0.2, none)
    assert np.std(np.log(grown[:, 0])) == pytest.approx(0.2, rel=0.05)
    np.testing.assert_allclose(grown[:, 1], 0, atol=0.01)
    moved = centres(0, none, none, 1.5)
    np.testing.assert_allclose(moved.std(0), 1.5, rtol=0.05)
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.1


@pytest.mark.usefixtures("double_precision")
def test_an_example_that_pulls_against_the_clean_ones_loses_weight():
    """With all weights equal, ∂L_v/∂v_i = -α/n ∇L_v(w')·(∇ℓ_i - mean ∇ℓ)."""
    learner = LearnedData(network(), FreeWeights(jnp.zeros(8)), RATE)
    found, _ = eqx.filter_jit(Backpropagation().of_task)(learner, task(), KEY)
    e = task()

    def flat(tree):
        return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])

    @eqx.filter_jit
    def slope(network, x, y):
        return eqx.filter_grad(lambda n: e.likelihood.mean_loss(n(x)[0], y))(network)

    each = [
        flat(slope(learner.network, e.support.x[i : i + 1], e.support.y[i : i + 1]))
        for i in range(4)
    ]
    step = slope(learner.network, e.support.x, e.support.y)
    ahead = eqx.apply_updates(learner.network, jax.tree.map(lambda g: -RATE * g, step))
    clean = flat(slope(ahead, e.query.x, e.query.y))
    of_v = [-RATE / 4 * clean @ (g - np.mean(each, 0)) / 0.5 for g in each]
    expected = np.zeros(8)
    np.add.at(expected, np.asarray(e.numbers), 0.25 * np.asarray(of_v))  # v = sigmoid(φ)
    np.testing.assert_allclose(found.data.logits, expected, rtol=1e-7, atol=1e-12)


def test_it_finds_the_wrong_labels_of_two_clusters():
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 260)
    x = (rng.normal(size=(260, 3)) + 2 * y[:, None]).astype(np.float32)
    told, wrong = flipped(y[:200], 0.3, 2, seed=0)
    tasks = Mislabelled(
        Examples(jnp.asarray(x[:200]), jnp.asarray(told)),
        Examples(jnp.asarray(x[200:]), jnp.asarray(y[200:])),
        classes=2,
        batch=50,
    )
    learner = LearnedData(network(), FreeWeights(jnp.zeros(200)), RATE)
    trained = meta_train(learner, tasks, optax.adam(0.05), steps=400)
    assert isinstance(trained, LearnedData)
    assert isinstance(trained.data, FreeWeights)
    assert area_under_curve(np.asarray(trained.data.logits), ~wrong) > 0.85


def test_without_anything_learned_it_is_ordinary_training():
    e = task()
    learner = LearnedData(network(), TrainingData(), RATE)
    e = jax.tree.map(lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x, e)
    _, metrics = learner.loss(e, key=KEY)
    expected = e.likelihood.mean_loss(learner.network(e.support.x)[0], e.support.y)
    assert metrics["training"] == pytest.approx(float(expected), rel=1e-5)


def test_numbers_are_needed():
    e = task()
    learner = LearnedData(network(), TrainingData())
    with pytest.raises(ValueError, match="NumberedEpisode"):
        learner.loss(Episode(e.support, e.query, e.likelihood), key=KEY)
    with pytest.raises(ValueError, match="has 2 outputs, the task needs 3"):
        learner.adapt(e.support, Categorical(3), key=KEY)


def test_flipped_labels_are_as_many_as_asked_for_and_other_classes():
    labels = np.repeat(np.arange(10), 1000)
    told, wrong = flipped(labels, 0.4, 10, seed=0)
    assert wrong.sum() == 4000
    np.testing.assert_array_equal(told != labels, wrong)
    away = np.bincount((told - labels)[wrong] % 10, minlength=10)
    assert away[0] == 0
    assert np.all(np.abs(away[1:] - 4000 / 9) < 4 * np.sqrt(4000 / 9))


def test_the_area_under_the_curve_is_scikit_learns():
    rng = np.random.default_rng(3)
    scores, positive = np.round(rng.random(200), 1), rng.random(200) < 0.3
    expected = roc_auc_score(positive, scores)
    assert area_under_curve(scores, positive) == pytest.approx(expected, rel=1e-12)
