"""A trunk with a head for each task: by hand, and the list of tasks that it is trained on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from quickstudy.learners.baseline.multitask import MultiTask
from quickstudy.likelihood import Categorical, Gaussian
from quickstudy.metagradients import Backpropagation
from quickstudy.networks import MLP, WithHead
from quickstudy.task import Episode
from quickstudy.tasks.arrays import ArraySource
from quickstudy.tasks.few_shot import FewShot
from quickstudy.tasks.finite import Finite, NumberedTask
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.training import meta_train

KEY = jax.random.key(0)


def learner(tasks: int, **options) -> MultiTask:
    network = WithHead(MLP((1,), hidden=(8, 8), key=KEY), 1, key=KEY)
    return MultiTask(network, tasks, optax.adam(0.1), key=KEY, **options)


def again(tasks, count: int = 3) -> list[NumberedTask]:
    """Draws of task number 1 of a list of two."""
    sample = eqx.filter_jit(Finite(tasks, 2).sample)
    drawn = [sample(key) for key in jax.random.split(KEY, 20)]
    return [task for task in drawn if task.number == 1][:count]


def test_a_sine_curve_of_the_list_comes_back_with_other_points():
    """Amplitude and phase by least squares: the curve lies in the span of sine and cosine."""
    found = []
    for task in again(Sinusoid(10, 10)):
        x, y = np.asarray(task.support.x)[:, 0], np.asarray(task.support.y)[:, 0]
        found.append((x, np.linalg.lstsq(np.stack([np.sin(x), np.cos(x)], 1), y)[0]))
    assert not np.allclose(found[0][0], found[1][0])
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-4)


def test_classes_of_the_list_come_back_with_their_labels_and_other_examples():
    classes = np.repeat(np.arange(9.0), 30)
    x = np.stack([classes, np.arange(270.0)], 1).astype(np.float32)
    source = ArraySource(x, np.arange(9) * 30, np.full(9, 30), {})
    a, b = again(FewShot(source, way=3, shot=2, query=2), 2)
    np.testing.assert_array_equal(a.support.x[:, 0], b.support.x[:, 0])
    np.testing.assert_array_equal(a.support.y, b.support.y)
    assert set(np.asarray(a.support.x[:, 1])) != set(np.asarray(b.support.x[:, 1]))


def test_a_task_trains_the_trunk_and_its_own_head():
    """As a network of trunk and that head alone would be."""
    multi = learner(4)
    task = eqx.tree_at(lambda t: t.number, again(Sinusoid(5, 5), 1)[0], jnp.asarray(2))
    gradient, metrics = eqx.filter_jit(Backpropagation().of_task)(multi, task, KEY)
    single = eqx.tree_at(
        lambda n: n.head, multi.network, jax.tree.map(lambda x: x[2], multi.network.head)
    )

    def loss(network):
        errors = [network(e.x)[0] - e.y for e in (task.support, task.query)]
        return jnp.mean(jnp.concatenate(errors) ** 2)

    expected, slope = eqx.filter_jit(eqx.filter_value_and_grad(loss))(single)
    assert metrics["mse"] == pytest.approx(float(expected), rel=1e-5)
    slope = jax.tree.map(lambda g: g / 2, slope)  # of the log-likelihood
    for found, other in zip(
        jax.tree.leaves(gradient.network.body), jax.tree.leaves(slope.body), strict=True
    ):
        np.testing.assert_allclose(found, other, rtol=1e-4, atol=1e-6)
    for found, other in zip(
        jax.tree.leaves(gradient.network.head), jax.tree.leaves(slope.head), strict=True
    ):
        np.testing.assert_allclose(found[2], other, rtol=1e-4, atol=1e-6)
        assert not np.any(np.delete(found, 2, 0))


@pytest.mark.parametrize("mean_head", [False, True])
def test_a_new_head_starts_from_zero_or_from_the_mean(mean_head):
    multi = learner(4, steps=0, mean_head=mean_head)
    task = Sinusoid(5, 5).sample(KEY)
    head = multi.adapt(task.support, Gaussian(1), key=KEY).network.head
    heads = np.asarray(multi.network.head.weight)
    assert np.std(heads, axis=0).min() > 0
    np.testing.assert_allclose(head.weight, heads.mean(0) if mean_head else 0 * heads[0])


def test_it_learns_every_curve_of_the_list_and_a_new_one_from_its_trunk():
    tasks = Finite(Sinusoid(10, 10), 4)
    multi = learner(4, steps=100)
    trained = meta_train(multi, tasks, optax.adam(1e-2), steps=600, meta_batch=4)
    assert isinstance(trained, MultiTask)

    @eqx.filter_jit
    def errors(learner):
        def adapted(key):
            task = Sinusoid(10, 50).sample(key)
            predictions = learner.adapt(task.support, task.likelihood, key=key)(task.query.x)
            return jnp.mean((predictions - task.query.y) ** 2), jnp.mean(task.query.y**2)

        own = jax.vmap(lambda key: learner.loss(tasks.sample(key), key=key)[1]["mse"])
        keys = jax.random.split(jax.random.key(1), 50)
        return jnp.mean(own(keys)), *(jnp.mean(e) for e in jax.vmap(adapted)(keys))

    before, after = errors(multi), errors(trained)
    assert after[0] < 0.1 * before[0]
    assert after[1] < 0.8 * after[2]


def test_what_it_cannot_do_is_refused():
    task = Sinusoid(5, 5).sample(KEY)
    with pytest.raises(ValueError, match="NumberedTask"):
        learner(4).loss(Episode(task.support, task.query, task.likelihood), key=KEY)
    with pytest.raises(ValueError, match="have 1 outputs, the task needs 3"):
        learner(4).adapt(task.support, Categorical(3), key=KEY)
