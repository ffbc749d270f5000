"""Windows on long inner processes, against the same processes written out step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array

from quickstudy import checkpoint
from quickstudy.metagradients.persistent_evolution import PersistentEvolution
from quickstudy.metagradients.unrolling import TruncatedBackpropagation, Unrolling, key_of
from quickstudy.optimizers.learned import flattened
from quickstudy.optimizers.momentum import LearnedMomentum
from quickstudy.task import Optimizee, TaskDistribution
from quickstudy.training import meta_train


class Bowl(Optimizee):
    """Σ a θ² / 2, with noise that leans it to one side."""

    a: Array

    def init(self, key):
        return {"theta": 2 + jax.random.normal(key, self.a.shape)}

    def loss(self, parameters, key):
        theta = parameters["theta"]
        return jnp.sum(self.a * theta**2) / 2 + 0.1 * jax.random.normal(key) * theta[0]


class Bowls(TaskDistribution[Bowl]):
    def sample(self, key):
        return Bowl(jnp.exp(jax.random.normal(key, (3,))))

    def protocol(self):
        return {"problems": "bowls"}


BOWLS, KEY, OTHER = Bowls(), jax.random.key(5), jax.random.key(6)
OPTIMIZER = LearnedMomentum(0.02, 0.9)


def written_out(optimizer: LearnedMomentum, steps: int, first_order: bool = False, key=KEY):
    """θ and velocity after so many steps, and f(θ_1) … f(θ_steps)."""
    problem = BOWLS.sample(key)
    theta = problem.init(jax.random.fold_in(key, 0))["theta"]
    alpha, beta = jnp.exp(optimizer.log_rate), 1 / (1 + jnp.exp(-optimizer.logit_decay))
    velocity, losses = jnp.zeros(3), []
    for t in range(steps):
        gradient = jax.grad(problem.loss)({"theta": theta}, key_of(key, jnp.asarray(t)))["theta"]
        gradient = jax.lax.stop_gradient(gradient) if first_order else gradient
        velocity = beta * velocity + gradient
        theta = theta - alpha * velocity
        losses.append(problem.loss({"theta": theta}, key_of(key, jnp.asarray(t + 1))))
    return theta, velocity, jnp.stack(losses)


def begun(estimator, key=KEY):
    standing = estimator.unrolling.begin(OPTIMIZER, BOWLS, key, jnp.asarray(0))
    if isinstance(estimator, PersistentEvolution):
        return estimator.around(OPTIMIZER, standing)
    return standing


@pytest.mark.parametrize(
    ("weights", "w"),
    [("uniform", [1, 1, 1, 1]), ("linear", [0.4, 0.8, 1.2, 1.6]), ("final", [0, 0, 0, 4])],
)
@pytest.mark.parametrize("first_order", [False, True])
def test_a_window_of_all_steps_gives_the_whole_gradient(weights, w, first_order):
    estimator = TruncatedBackpropagation(Unrolling(4, 4, weights), first_order)

    @jax.jit
    def both(optimizer):
        def objective(optimizer):
            return jnp.mean(jnp.asarray(w) * written_out(optimizer, 4, first_order)[2])

        found = estimator(optimizer, BOWLS, begun(estimator), (OTHER, OTHER), jnp.asarray(0))
        return found[0], found[1]["loss"], jax.grad(objective)(optimizer), objective(optimizer)

    found, loss, expected, value = both(OPTIMIZER)
    np.testing.assert_allclose(loss, value, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)


def test_the_two_orders_differ():
    """Or the test above could not tell them apart."""
    gradients = [
        jax.jit(jax.grad(lambda o, first=first: jnp.mean(written_out(o, 4, first)[2])))(OPTIMIZER)
        for first in (False, True)
    ]
    first, second = (float(gradient.log_rate) for gradient in gradients)
    assert abs(first - second) > 0.05 * abs(second)


def test_windows_go_on_where_the_last_one_ended_and_a_new_task_follows_the_horizon():
    estimator = TruncatedBackpropagation(Unrolling(3, 6))
    window = jax.jit(lambda c, key: estimator(OPTIMIZER, BOWLS, c, (key, key), jnp.asarray(0))[1:])
    carried, seen = begun(estimator), []
    for _ in range(2):
        metrics, carried = window(carried, OTHER)
        seen.append(metrics["loss"])
    theta, velocity, losses = jax.jit(lambda: written_out(OPTIMIZER, 6))()
    np.testing.assert_allclose(seen, losses.reshape(2, 3).mean(1), rtol=1e-5)
    np.testing.assert_allclose(carried.state.parameters["theta"], theta, rtol=1e-5)
    np.testing.assert_allclose(carried.state.state["theta"], velocity, rtol=1e-5)
    assert carried.done == 6
    metrics, carried = window(carried, OTHER)
    losses = jax.jit(lambda: written_out(OPTIMIZER, 3, key=OTHER)[2])()
    np.testing.assert_allclose(metrics["loss"], losses.mean(), rtol=1e-5)
    assert carried.done == 3
    np.testing.assert_array_equal(carried.key, jax.random.key_data(OTHER))


def test_places_begin_at_all_phases():
    unrolling = Unrolling(5, 20)
    keys = jax.random.split(KEY, 100)
    start = jax.jit(jax.vmap(lambda key: unrolling.start(OPTIMIZER, BOWLS, key)))(keys)
    assert set(np.asarray(start.horizon)) == {5, 10, 15, 20}
    assert set(np.asarray(start.done)) == {0}


def test_the_horizon_grows_evenly_by_windows_and_stays():
    grown = [
        int(Unrolling(5, 20, shortest=5, growing=30).at(jnp.asarray(step)))
        for step in (0, 9, 10, 20, 29, 30, 1000)
    ]
    assert grown == [5, 5, 10, 15, 15, 20, 20]


@pytest.mark.parametrize("weights", ["uniform", "linear", "final"])
def test_weights_have_a_mean_of_one(weights):
    w = Unrolling(4, 12, weights).weight(jnp.arange(1, 13), jnp.asarray(12))
    np.testing.assert_allclose(np.mean(np.broadcast_to(w, 12)), 1, rtol=1e-6)


@pytest.mark.parametrize(("window", "shortest"), [(3, None), (0, None), (5, 20), (5, 4)])
def test_unrollings_that_do_not_fit_are_refused(window, shortest):
    with pytest.raises(ValueError, match="horizon"):
        Unrolling(window, 10, shortest=shortest)


WINDOW, HORIZON = 4, 16


def estimates(estimator, repeats: int):
    """The mean over the windows of one process, again and again."""

    @jax.jit
    @jax.vmap
    def one(key):
        def window(carried, key):
            gradient, _, carried = estimator(OPTIMIZER, BOWLS, carried, (key, key), jnp.asarray(0))
            return carried, flattened(gradient)[0]

        keys = jax.random.split(key, HORIZON // WINDOW)
        return jnp.mean(jax.lax.scan(window, begun(estimator), keys)[1], 0)

    return np.asarray(one(jax.random.split(OTHER, repeats)), float)


def test_persistent_evolution_is_unbiased_where_truncation_is_not():
    """Against the gradient of all steps of the same process."""
    unrolling = Unrolling(WINDOW, HORIZON)
    whole = jax.grad(lambda optimizer: jnp.mean(written_out(optimizer, HORIZON)[2]))
    true = np.asarray(flattened(jax.jit(whole)(OPTIMIZER))[0])
    found = estimates(PersistentEvolution(unrolling, pairs=8, deviation=0.01), 2000)
    error = found.std(0) / np.sqrt(len(found))
    np.testing.assert_array_less(np.abs(found.mean(0) - true), 4 * error)
    assert np.linalg.norm(4 * error) < 0.15 * np.linalg.norm(true)
    truncated = estimates(TruncatedBackpropagation(unrolling, first_order=False), 1)[0]
    assert np.linalg.norm(truncated - true) > 0.3 * np.linalg.norm(true)
    short = estimates(PersistentEvolution(unrolling, 8, 0.01, persistent=False), 2000)
    error = short.std(0) / np.sqrt(len(short))
    np.testing.assert_array_less(np.abs(short.mean(0) - truncated), 4 * error)


def train(meta_gradient, steps: int, **options) -> LearnedMomentum:
    options = {"meta_batch": 4, "meta_gradient": meta_gradient, **options}
    return meta_train(OPTIMIZER, BOWLS, optax.adam(0.05), steps=steps, **options)


def test_training_that_carries_goes_on_bit_for_bit(tmp_path):
    unrolling = Unrolling(2, 6, shortest=2, growing=4)
    meta_gradient = PersistentEvolution(unrolling, pairs=2)
    train(meta_gradient, 9, folder=tmp_path / "whole")
    train(meta_gradient, 4, folder=tmp_path / "parts")
    train(meta_gradient, 9, folder=tmp_path / "parts")
    last = [tmp_path / name / "checkpoints" / "step-000000009.qs" for name in ("whole", "parts")]
    headers = [checkpoint.read_header(path) for path in last]
    assert headers[0]["sha256"] == headers[1]["sha256"]
    assert [[4, 2, 3], "float32"] in headers[0]["leaves"]  # what the particles carry


def test_devices_share_what_is_carried():
    meta_gradient = TruncatedBackpropagation(Unrolling(2, 6))
    alone, shared = (train(meta_gradient, 9, devices=devices) for devices in (1, 2))
    for a, b in zip(*map(jax.tree.leaves, (alone, shared)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    assert abs(alone.log_rate - OPTIMIZER.log_rate) > 0.05
