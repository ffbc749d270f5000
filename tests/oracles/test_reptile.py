"""Reptile against its algorithm written out: one Adam, in NumPy, for the tasks of one place."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from quickstudy import checkpoint
from quickstudy.learners.gradient.reptile import Reptile, mini_batches
from quickstudy.metagradients import ReptileGradient
from quickstudy.networks import MLP, WithHead
from quickstudy.runs import train as runs_train
from quickstudy.runs.saved import SavedRun
from quickstudy.settings.learners import ReptileSettings
from quickstudy.settings.network import NetworkSettings
from quickstudy.settings.run import RunSettings, TaskSettings
from quickstudy.settings.training import TrainingSettings
from quickstudy.task import FixedTasks, task_keys
from quickstudy.tasks.sinusoid import Sinusoid
from quickstudy.training import SeedRun, meta_train, meta_train_seeds

KEY = jax.random.key(0)
TASKS = Sinusoid(shot=3, query=5)
RATE, STEPS, PLACES = 0.02, 3, 2


def learner_of(optimizer: optax.GradientTransformation, **options) -> Reptile:
    network = WithHead(MLP((1,), hidden=(6,), key=KEY), 1, key=jax.random.key(1))
    return Reptile(network, optimizer, train_steps=STEPS, **{"train_batch": 4, **options})


ADAM = learner_of(optax.adam(RATE, b1=0.0))
FLAT, WHOLE = ravel_pytree(eqx.filter(ADAM.network, eqx.is_inexact_array))
REST = eqx.filter(ADAM.network, eqx.is_inexact_array, inverse=True)


class NumPyAdam:
    """Kingma and Ba (2015), algorithm 1, with β_1 = 0."""

    def __init__(self):
        self.v, self.t = np.zeros(FLAT.size), 0

    def __call__(self, gradient: np.ndarray) -> np.ndarray:
        self.t += 1
        self.v = 0.999 * self.v + 0.001 * gradient**2
        return -RATE * gradient / (np.sqrt(self.v / (1 - 0.999**self.t)) + 1e-8)


@jax.jit
def gradient_of(phi, x, y):
    return jax.grad(lambda phi: jnp.mean((eqx.combine(WHOLE(phi), REST)(x)[0] - y) ** 2) / 2)(phi)


def after_task(theta: np.ndarray, task, rows, step) -> np.ndarray:
    """φ_k: a step on each of these mini-batches."""
    x, y = (
        jnp.concatenate([getattr(part, n) for part in (task.support, task.query)]) for n in "xy"
    )
    phi = theta
    for batch in rows:
        phi = phi + step(np.asarray(gradient_of(jnp.asarray(phi, x.dtype), x[batch], y[batch])))
    return phi


def written_out(steps: int, optimizers, seed: int = 0) -> np.ndarray:
    """θ after so many meta-steps of rate 1; place i of the meta-batch uses `optimizers[i]`."""
    theta = np.asarray(FLAT, float)
    for number in range(steps):
        key, ends = jax.random.fold_in(jax.random.key(seed), number), []
        for place, optimizer in enumerate(optimizers):
            for_task, for_learner = task_keys(key, place)
            rows = np.asarray(mini_batches(8, 4, STEPS, key=for_learner))
            ends.append(after_task(theta, TASKS.sample(for_task), rows, optimizer))
        theta = theta + np.mean(np.asarray(ends) - theta, axis=0)
    return theta


def train(learner: Reptile, steps: int, **options) -> Reptile:
    options = {"meta_batch": PLACES, "meta_gradient": ReptileGradient(), **options}
    return meta_train(learner, TASKS, optax.sgd(1.0), steps=steps, **options)


def theta_of(learner: Reptile) -> np.ndarray:
    return np.asarray(ravel_pytree(eqx.filter(learner.network, eqx.is_inexact_array))[0])


@pytest.mark.parametrize("at_once", [1, PLACES])
def test_one_adam_runs_through_the_tasks_of_a_place(at_once):
    found = theta_of(train(ADAM, 5, tasks_at_once=at_once))
    expected = written_out(5, [NumPyAdam() for _ in range(PLACES)])
    moved = np.abs(expected - np.asarray(FLAT)).max()
    np.testing.assert_allclose(found, expected, atol=1e-4 * moved)


def test_with_gradient_descent_the_direction_is_the_sum_of_the_gradients_on_the_way():
    found = theta_of(train(learner_of(optax.sgd(RATE)), 5))
    np.testing.assert_allclose(found, written_out(5, [lambda g: -RATE * g] * PLACES), atol=1e-5)


def test_settling_leaves_the_moments_of_one_adam_after_a_thousand_steps_on_training_tasks():
    tasks = FixedTasks(jax.tree.map(lambda x: x[None], TASKS.sample(KEY)), ())
    learner = learner_of(optax.adam(RATE, b1=0.0), train_batch=8)
    settled = eqx.filter_jit(lambda: learner.settle(tasks, key=KEY))()
    adam, every = NumPyAdam(), [np.arange(8)] * STEPS
    for _ in range(334):  # tasks of three steps
        after_task(np.asarray(FLAT), TASKS.sample(KEY), every, adam)
    [found] = [s for s in jax.tree.leaves(settled.moments, is_leaf=is_adam) if is_adam(s)]
    assert found.count == adam.t == 1002
    np.testing.assert_allclose(ravel_pytree(found.nu)[0], adam.v, rtol=1e-3)


def is_adam(node) -> bool:
    return isinstance(node, optax.ScaleByAdamState)


def test_the_first_step_at_test_is_no_sign_step():
    """It is divided by what gradients were in training: |step| is α |g| / (√v̂ + ε)."""
    settled = eqx.filter_jit(
        lambda: learner_of(ADAM.optimizer, test_steps=1).settle(TASKS, key=KEY)
    )()
    task = TASKS.sample(jax.random.key(7))
    adapted = settled.adapt(task.support, task.likelihood, key=KEY).network
    moved = np.asarray(ravel_pytree(eqx.filter(adapted, eqx.is_inexact_array))[0] - FLAT)
    [before] = [s for s in jax.tree.leaves(settled.moments, is_leaf=is_adam) if is_adam(s)]
    adam = NumPyAdam()
    adam.v, adam.t = np.asarray(ravel_pytree(before.nu)[0], float), int(before.count)
    expected = adam(np.asarray(gradient_of(FLAT, task.support.x, task.support.y), float))
    np.testing.assert_allclose(moved, expected, atol=1e-4 * np.abs(expected).max())
    sizes = np.abs(expected)[np.abs(expected) > 0]
    assert sizes.max() > 3 * sizes.min()


def test_gradient_descent_has_nothing_to_settle():
    learner = learner_of(optax.sgd(RATE))
    assert learner.settle(TASKS, key=KEY) is learner


def test_training_goes_on_with_the_moments_that_it_had(tmp_path):
    train(ADAM, 6, folder=tmp_path / "whole")
    train(ADAM, 4, folder=tmp_path / "parts")
    train(ADAM, 6, folder=tmp_path / "parts")
    last = [tmp_path / name / "checkpoints" / "step-000000006.qs" for name in ("whole", "parts")]
    headers = [checkpoint.read_header(path) for path in last]
    assert headers[0]["sha256"] == headers[1]["sha256"]
    assert [[PLACES, 1, 6], "float32"] in headers[0]["leaves"]  # of the first layer, by place


def test_devices_share_the_moments_and_seeds_trained_together_keep_their_own():
    alone = [train(ADAM, 3, seed=seed) for seed in (0, 1)]
    shared = train(ADAM, 3, devices=2)
    np.testing.assert_allclose(theta_of(shared), theta_of(alone[0]), atol=1e-5)
    together = meta_train_seeds(
        [SeedRun(seed, ADAM) for seed in (0, 1)],
        TASKS,
        optax.sgd(1.0),
        steps=3,
        meta_batch=PLACES,
        meta_gradient=ReptileGradient(),
        together=True,
    )
    for expected, (_, found, _) in zip(alone, together, strict=True):
        np.testing.assert_allclose(theta_of(found), theta_of(expected), atol=1e-5)
    assert np.abs(theta_of(alone[0]) - theta_of(alone[1])).max() > 1e-3


@pytest.mark.parametrize("tasks", ["sinusoid", "glyphs"])
def test_a_saved_run_keeps_its_moments(tasks, tmp_path):
    settings = RunSettings(
        ReptileSettings(NetworkSettings("mlp", hidden=(4,))),
        TaskSettings(tasks, way=3 if tasks == "glyphs" else None, query=2, train_query=2),
        TrainingSettings(steps=1, meta_batch=2, validation_episodes=2),
    )
    trained = runs_train.train(settings, tmp_path / "run", show_progress=False)
    loaded = SavedRun.open(tmp_path / "run").learner()
    assert isinstance(trained, Reptile)
    assert trained.moments is not None
    for a, b in zip(jax.tree.leaves(trained), jax.tree.leaves(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


def test_mini_batches_pass_through_all_examples_before_any_comes_again():
    rows = np.asarray(mini_batches(10, 4, 5, key=KEY)).ravel()
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert list(rows[:10]) != list(rows[10:])
    np.testing.assert_array_equal(mini_batches(3, 4, 2, key=KEY), [[0, 1, 2]] * 2)
