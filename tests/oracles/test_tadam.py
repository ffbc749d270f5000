"""TADAM against prototypical networks, which it starts as, and its equations step by step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy.learners.metric.protonet import ProtoNet
from quickstudy.learners.metric.tadam import PENALTY, TADAM
from quickstudy.likelihood import Categorical
from quickstudy.networks import MLP, Conv4, ResNet12
from quickstudy.networks.layers import BatchNorm
from quickstudy.networks.network import Normalisation, modulated, normalisations
from quickstudy.task import Episode, Examples
from quickstudy.tasks.cotraining import CotrainedEpisode, CoTraining
from quickstudy.tasks.few_shot import FewShot

KEY = jax.random.key(0)
WAY, CLASSES, EVERY = 3, 7, 10
RNG = np.random.default_rng(0)
SUPPORT = Examples(jnp.asarray(RNG.normal(size=(9, 5)), jnp.float32), jnp.asarray([0, 1, 2] * 3))
QUERY = Examples(jnp.asarray(RNG.normal(size=(6, 5)), jnp.float32), jnp.asarray([0, 1, 2] * 2))
BATCH = Examples(jnp.asarray(RNG.normal(size=(8, 5)), jnp.float32), jnp.arange(8) % CLASSES)
MULTIPLIERS = (0.5, -0.7, -1.5, 0.4)
EPISODE = Episode(SUPPORT, QUERY, Categorical(WAY))
COTRAINED = CotrainedEpisode(SUPPORT, QUERY, Categorical(WAY), BATCH)


def network() -> MLP:
    """Whose scales and shifts are not 1 and 0."""
    made = MLP((5,), hidden=(6, 4), normalise=True, key=KEY)
    moved = [jax.tree.map(lambda x: x + 0.3 * RNG.normal(size=x.shape), n) for n in made.norms]
    return eqx.tree_at(lambda n: n.norms, made, tuple(moved))


def plain(mode: Normalisation = "support") -> TADAM:
    return TADAM(network(), CLASSES, every=EVERY, normalisation=mode, key=KEY)


def conditioned(mode: Normalisation = "support") -> TADAM:
    """With post-multipliers and a scale other than those that it starts with."""
    learner = plain(mode)

    def numbers(learner: TADAM) -> list:
        a, b = learner.conditioners
        return [a.scale_by, a.shift_by, b.scale_by, b.shift_by, learner.log_scale]

    return eqx.tree_at(numbers, learner, [jnp.asarray(x) for x in (*MULTIPLIERS, float(np.log(2)))])


@eqx.filter_jit
def logits(learner, support: Examples, x):
    return learner.adapt(support, Categorical(WAY), key=KEY)(x)


@eqx.filter_jit
def loss(learner: TADAM, task: Episode, key):
    return learner.loss(task, key=key)[0]


@eqx.filter_jit
def features(network, x, statistics=None):
    return network(x, statistics)


@pytest.mark.parametrize("mode", ["batch", "support", "running"])
def test_it_starts_as_a_prototypical_network(mode, clusters):
    tasks = FewShot(clusters(shape=(5,)), 4, 2, 3)
    tadam = plain(mode)
    protonet = ProtoNet(tadam.network, normalisation=mode)
    settle = eqx.filter_jit(lambda learner: learner.settle(tasks, key=KEY))
    found, expected = (logits(settle(n), SUPPORT, QUERY.x) for n in (tadam, protonet))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


class Followed(BatchNorm):
    """Batch normalisation, and a scale and shift written after it."""

    scale: jax.Array
    shift: jax.Array

    def __init__(self, norm: BatchNorm, scale, shift):
        self.gamma, self.beta = norm.gamma, norm.beta
        self.scale, self.shift = scale, shift

    def __call__(self, x, given=None):
        h, used = super().__call__(x, given)
        return (1 + self.scale) * h + self.shift, used


@pytest.mark.parametrize("made", ["mlp", "conv4", "resnet12"])
def test_a_modulated_network_scales_and_shifts_after_each_normalisation(made):
    shape = (5,) if made == "mlp" else (16, 16, 1)
    plain = {
        "mlp": network(),
        "conv4": Conv4((16, 16, 1), filters=3, stride=2, key=KEY),
        "resnet12": ResNet12((16, 16, 1), filters=1, key=KEY),
    }[made]
    norms = normalisations(plain)
    scales, shifts = (
        [jnp.asarray(RNG.normal(size=n.gamma.shape), jnp.float32) for n in norms] for _ in range(2)
    )
    followed = [Followed(*each) for each in zip(norms, scales, shifts, strict=True)]
    x = jnp.asarray(RNG.normal(size=(8, *shape)), jnp.float32)
    expected, _ = features(eqx.tree_at(normalisations, plain, followed), x)
    found, _ = features(modulated(plain, scales, shifts), x)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert np.max(np.abs(found - features(plain, x)[0])) > 0.1


def by_hand(ten, task: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """γ and β of one layer."""

    def residual(layers, h):
        first, *others = [lambda h, n=n: h @ np.asarray(n.weight) + n.bias for n in layers]
        h = first(h)
        for layer in others:
            h = np.maximum(h, 0)
            h = h + layer(h)
        return h

    return (
        ten.scale_by * residual(ten.scale.layers, task),
        ten.shift_by * residual(ten.shift.layers, task),
    )


def test_the_task_is_the_mean_prototype_of_the_plain_network_and_turns_each_layer():
    learner = conditioned()
    y = np.asarray(SUPPORT.y)
    z = np.asarray(features(learner.network, SUPPORT.x)[0])
    task = np.stack([z[y == k].mean(0) for k in range(WAY)]).mean(0)
    scales, shifts = zip(*[by_hand(ten, task) for ten in learner.conditioners], strict=True)
    turned = modulated(learner.network, scales, shifts)
    of_support, used = features(turned, SUPPORT.x)
    c = np.stack([np.asarray(of_support)[y == k].mean(0) for k in range(WAY)])
    z = np.asarray(features(turned, QUERY.x, used)[0])
    expected = -2 * np.sum((z[:, None] - c) ** 2, -1)
    np.testing.assert_allclose(logits(learner, SUPPORT, QUERY.x), expected, rtol=1e-3, atol=1e-3)


def classification(learner: TADAM) -> float:
    z, _ = features(learner.network, BATCH.x)
    logits = learner.classifier(z)
    return float(-np.mean(jax.nn.log_softmax(logits)[np.arange(8), np.asarray(BATCH.y)]))


def test_the_loss_is_of_the_episode_with_a_penalty_and_at_times_of_a_batch():
    learner = conditioned()
    of_queries = Categorical(WAY).mean_loss(logits(learner, SUPPORT, QUERY.x), QUERY.y)
    expected = float(of_queries) + PENALTY / 2 * np.sum(np.square(MULTIPLIERS))
    np.testing.assert_allclose(loss(learner, EPISODE, KEY), expected, rtol=1e-5)
    found = np.asarray([loss(learner, COTRAINED, jax.random.key(i)) for i in range(40)])
    extra = found - expected
    taken = np.abs(extra - classification(learner)) < 1e-4
    assert np.all(taken | (np.abs(extra) < 1e-4))
    assert 25 <= taken.sum() < 40  # nine times out of ten


@pytest.mark.parametrize(("step", "probability"), [(0, 0.9), (9, 0.9), (10, 0.81), (195, 0.9**20)])
def test_co_training_becomes_rare(step, probability):
    learner = plain().at_step(jnp.asarray(step))
    without = loss(learner, EPISODE, KEY)
    keys = jax.random.split(jax.random.key(1), 2000)
    found = jax.jit(jax.vmap(lambda key: learner.loss(COTRAINED, key=key)[0]))(keys)
    share = np.mean(np.abs(found - without) > 1e-3)
    assert abs(share - probability) < 4 * np.sqrt(probability * (1 - probability) / 2000)


def test_batches_beside_episodes_carry_the_labels_of_their_classes(clusters):
    source = clusters(noise=0.0)
    tasks = CoTraining(FewShot(source, WAY, 1, 2), 20, 5)
    task = jax.jit(lambda key: tasks.sample(key))(KEY)
    centres = np.asarray([source.draw(KEY, jnp.asarray(c), 1)[0] for c in range(5)])
    np.testing.assert_allclose(task.batch.x, centres[np.asarray(task.batch.y)], rtol=1e-6)
    assert set(np.asarray(task.batch.y)) == set(range(5))
    assert task.support.x.shape == (WAY, 8)
